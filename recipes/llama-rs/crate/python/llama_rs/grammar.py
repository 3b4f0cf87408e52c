"""Grammars that bind what is generated."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

# Any JSON object. White space and digits are bounded, or a small model would go on with them for ever; nothing may
# follow the closing brace, so that the text ends there.
JSON_OBJECT_GBNF = r"""
root   ::= object
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" gap ( member ( "," gap member )* )? "}"
member ::= string gap ":" gap value gap
array  ::= "[" gap ( value gap ( "," gap value gap )* )? "]"
string ::= "\"" letter* "\""
letter ::= [^"\\\x00-\x1F\x7F] | "\\" ( ["\\/bfnrt] | "u" hex hex hex hex )
hex    ::= [0-9a-fA-F]
number ::= "-"? ( "0" | [1-9] [0-9]{0,17} ) ( "." [0-9]{1,17} )? ( [eE] [-+]? [0-9]{1,3} )?
gap    ::= [ \t\n]{0,16}
"""


class LlamaGrammar:
    """A grammar in GBNF, the notation of llama.cpp, whose first rule is `root`."""

    __slots__ = ("gbnf",)

    def __init__(self, gbnf: str) -> None:
        if not isinstance(gbnf, str):
            raise TypeError(f"a grammar is a str in GBNF, not {type(gbnf).__name__}")
        if not gbnf.strip():
            raise ValueError("the grammar is empty")
        self.gbnf = gbnf

    def __repr__(self) -> str:
        return f"LlamaGrammar({self.gbnf!r})"

    @classmethod
    def from_string(cls, grammar: str, verbose: bool = True) -> LlamaGrammar:
        """Take a grammar as it is written.

        It is parsed by llama.cpp when it is used, and refused then with ValueError. `verbose` is llama_cpp's; it has
        no effect here.
        """
        del verbose
        return cls(grammar)

    @classmethod
    def from_file(cls, file: str | os.PathLike[str], verbose: bool = True) -> LlamaGrammar:
        """Read a grammar from a file in UTF-8; raises OSError where it cannot be read."""
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123 -- pathlib is slow to import
            return cls.from_string(opened.read(), verbose)

    @classmethod
    def from_json_schema(cls, json_schema: str, verbose: bool = True) -> LlamaGrammar:
        """Refuse: schemas are not translated here."""
        raise NotImplementedError(
            "LlamaGrammar.from_json_schema is not supported; write the grammar in GBNF for LlamaGrammar.from_string, "
            'or take response_format={"type": "json_object"} for any JSON object'
        )


def read_grammar(grammar: object) -> str | None:
    """Return the GBNF of an argument called grammar; raises TypeError for what is none."""
    if grammar is None:
        return None
    if isinstance(grammar, LlamaGrammar):
        return grammar.gbnf
    if isinstance(grammar, str):
        return LlamaGrammar(grammar).gbnf
    raise TypeError(f"grammar is a LlamaGrammar or a str in GBNF, not {type(grammar).__name__}")
