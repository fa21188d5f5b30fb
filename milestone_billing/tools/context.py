"""What a caller's context may not decide."""


def drop_defaults(context, names):
    """Give a context without default values of protected fields: anybody may send them with a call.

    :param context: a mapping.
    :param names: names of fields.
    :rtype: dict
    """
    closed = {f"default_{name}" for name in names}
    return {key: value for key, value in context.items() if key not in closed}
