from . import export, main, portal, review
