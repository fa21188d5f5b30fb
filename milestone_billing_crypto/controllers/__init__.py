from . import export, main, portal
