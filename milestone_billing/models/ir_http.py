"""Answers that the framework gives below our addresses: errors, wrong methods and redirects have our headers too."""

from odoo import models
from odoo.http import request
from werkzeug.exceptions import HTTPException, NotFound

from ..tools.page_headers import find_referrer_policy, set_headers


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    @classmethod
    def _get_milestone_referrer(cls, path):
        """Tell whether an address is ours. To be extended by addons with more of them.

        :return: its `Referrer-Policy`, empty for addresses of others.
        :rtype: str
        """
        return find_referrer_policy(path)

    @classmethod
    def _match(cls, path):
        """Override for what is answered before a route is found: a wrong method, another language.

        Odoo answers these without asking `_handle_error`; it sends what the exception carries as `error_response`.
        """
        referrer = cls._get_milestone_referrer(path)
        try:
            return super()._match(path)
        except NotFound:
            raise  # goes on to `_handle_error`, or to a file that is served instead
        except HTTPException as error:
            if referrer:
                error.error_response = cls._seal_milestone_answer(error, referrer)
            raise

    @classmethod
    def _pre_dispatch(cls, rule, args):
        """Override for redirects to the way an address is written, which end a request here."""
        try:
            return super()._pre_dispatch(rule, args)
        except HTTPException as error:
            if error.code is None and (referrer := cls._get_milestone_referrer(request.httprequest.path)):
                cls._seal_milestone_answer(error, referrer)
            raise

    @classmethod
    def _handle_error(cls, exception):
        """Override for errors while a route is served, and for addresses without a route."""
        referrer = cls._get_milestone_referrer(request.httprequest.path)
        if not referrer:
            return super()._handle_error(exception)
        try:
            answer = super()._handle_error(exception)
        except HTTPException as error:
            # A form that is too large is refused again when its error page looks for the form.
            answer = error
        return cls._seal_milestone_answer(answer, referrer)

    @classmethod
    def _seal_milestone_answer(cls, answer, referrer):
        """Give an answer of the framework the headers of our pages.

        :param answer: a response, or an exception that makes one.
        :param str referrer: `Referrer-Policy`.
        :return: the response.
        """
        if isinstance(answer, HTTPException):
            answer = answer.get_response(request.httprequest.environ)
        set_headers(answer.headers, referrer)
        return answer
