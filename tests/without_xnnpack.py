"""A pytest plugin (`-p tests.without_xnnpack`): LiteRT's own kernels run."""

from ai_edge_litert import interpreter as litert


class Interpreter(litert.Interpreter):
    """LiteRT's interpreter, whose default is not to use XNNPACK."""

    def __init__(self, *args, **kwargs):
        resolvers = litert.OpResolverType
        kwargs.setdefault(
            "experimental_op_resolver_type",
            resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        super().__init__(*args, **kwargs)


litert.Interpreter = Interpreter
