"""TypeScript for papermill: how parameters are written into a notebook, and read from it (papermill --help-notebook).

papermill asks for a translator by the notebook's language and has none for TypeScript. It has no entry point for translators either, but
on import it loads every engine that an installed package names; our engine is papermill's own, and loading it registers the translator.
"""
import json
import math
import re

from papermill.engines import NBClientEngine as Engine  # noqa: F401: the entry point
from papermill.exceptions import PapermillException
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

NAME = r"[A-Za-z_$][\w$]*"
VALUE = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`|[^;/"'`]|/(?!/))*"""  # as far as it goes on its line
DECLARATION = re.compile(rf"^[ \t]*(?:let|const|var)\s+(?P<name>{NAME})\s*(?::(?P<type>[^=\n]+))?(?:=(?P<value>{VALUE}))?;?[ \t]*(?://(?P<help>.*))?", re.M)


class TypeScriptTranslator(Translator):
    """Declares anew instead of assigning, as papermill does for its other typed languages: a parameter may be const, or be in no cell yet.
    The values come from outside, as those of JSON.parse, and have its type: inferred ones would not fit a parameter of type "fast" | "exact".
    """

    @classmethod
    def translate_str(cls, val):
        return json.dumps(val)

    @classmethod
    def translate_escaped_str(cls, val):
        return json.dumps(str(val))  # dates of a YAML file, and whatever else there is

    @classmethod
    def translate_none(cls, val):
        return "null"

    @classmethod
    def translate_float(cls, val):
        if math.isfinite(val):
            return repr(val)
        return "NaN" if math.isnan(val) else "Infinity" if val > 0 else "-Infinity"

    @classmethod
    def translate_list(cls, val):
        return f"[{', '.join(cls.translate(item) for item in val)}]"

    @classmethod
    def translate_dict(cls, val):
        return f"{{ {', '.join(f'{json.dumps(str(key))}: {cls.translate(item)}' for key, item in val.items())} }}"

    @classmethod
    def comment(cls, cmt_str):
        return f"// {cmt_str}".strip()

    @classmethod
    def assign(cls, name, str_val):
        if not re.fullmatch(NAME, name):
            raise PapermillException(f"parameter {name!r}: expected the name of a TypeScript variable, such as {re.sub(r'[^A-Za-z0-9_$]', '_', name)!r}")
        return f"let {name}: any = {str_val};"

    @classmethod
    def inspect(cls, parameters_cell):
        return [
            Parameter(
                name=found["name"],
                inferred_type_name=(found["type"] or "None").strip(),
                default=(found["value"] or "").strip(),
                help=(found["help"] or "").strip(),
            )
            for found in DECLARATION.finditer(parameters_cell["source"])
        ]


if "typescript" not in papermill_translators._translators:  # papermill's own, should it get one, comes first
    papermill_translators.register("typescript", TypeScriptTranslator)
