"""What Python files import, and which of them run: the shapes that real wheels have, and hostile ones."""

import ast
import sys
import textwrap
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truewheel.wheel.modules import (
    Import,
    ModuleTree,
    Source,
    find_module_name,
    is_vendored,
    list_prefixes,
    stands_aside,
)
from truewheel.wheel.sources import (
    MAX_FILE_BYTES,
    MAX_IMPORTS,
    SourceFacts,
    scan_source,
    scan_sources,
)


def read(text, path="pkg/__init__.py"):
    return scan_source(path, textwrap.dedent(text).encode())


def scan(**files):
    """Scan files given as keywords, `__` standing for a slash: `pkg____init__` is `pkg/__init__.py`."""
    names = {key.replace("__init__", "%i").replace("__main__", "%m").replace("__", "/"): key for key in files}
    paths = {name.replace("%i", "__init__").replace("%m", "__main__"): key for name, key in names.items()}
    return scan_tree({f"{path}.py": files[key] for path, key in paths.items()})


def scan_tree(files):
    return scan_sources((path, textwrap.dedent(text).encode()) for path, text in files.items())


def flags(text):
    """Return optional and lazy of each import in a text, by module."""
    return {found.module: ("optional" * found.optional, "lazy" * found.lazy) for found in read(text).imports}


def needed(facts):
    """Return what runs for sure when the wheel is imported."""
    return sorted({i.module for i in facts.imports if i.reached and not i.optional and not i.lazy})


# Names of modules


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pkg/__init__.py", "pkg"),
        ("pkg/mod.py", "pkg.mod"),
        ("pkg/sub/__init__.py", "pkg.sub"),
        ("six.py", "six"),
        ("script.pyw", "script"),
        ("pkg/_x.so", "pkg._x"),
        ("pkg/_x.abi3.so", "pkg._x"),
        ("pkg/_x.cpython-311-x86_64-linux-gnu.so", "pkg._x"),
        ("pkg/_x.cpython-311-darwin.so", "pkg._x"),
        ("pkg/_x.pypy39-pp73-x86_64-linux-gnu.so", "pkg._x"),
        ("pkg/_x.pyd", "pkg._x"),
        ("pkg/_x.cp311-win_amd64.pyd", "pkg._x"),
        ("pkg/__init__.cpython-311-x86_64-linux-gnu.so", "pkg"),
        ("pkg/legacy.pyc", "pkg.legacy"),
        ("toy-1.0.data/purelib/pkg/mod.py", "pkg.mod"),
        ("toy-1.0.data/platlib/pkg/_x.so", "pkg._x"),
        ("toy-1.0.data/scripts/tool.py", ""),
        ("toy-1.0.data/data/share/pkg/mod.py", ""),
        ("toy-1.0.dist-info/x.py", ""),
        ("pkg/some-script.py", ""),
        ("pkg/with-dash/mod.py", ""),
        ("pkg/2to3.py", ""),
        ("pkg/__pycache__/mod.pyc", ""),
        ("pkg/__pycache__/mod.cpython-311.pyc", ""),
        ("pkg/mod.pyi", ""),
        ("pkg/data.json", ""),
        ("pkg/libx.so.1", ""),
        ("pkg/a.b.c.so", ""),
        ("__init__.py", ""),
        ("", ""),
        ("a/" * 31 + "x.py", ""),
        ("a" * 400 + ".py", ""),
    ],
)
def test_the_name_under_which_a_file_is_imported(path, name):
    assert find_module_name(path) == name


def test_prefixes_of_a_dotted_name():
    assert list_prefixes("a.b.c") == ["a", "a.b", "a.b.c"]
    assert list_prefixes("a") == ["a"]


@pytest.mark.parametrize(
    "path",
    [
        "tests/test_x.py",
        "pkg/tests/helper.py",
        "pkg/test/support.py",
        "pkg/_tests/x.py",
        "pkg/testing/x.py",
        "pkg/conftest.py",
        "docs/conf.py",
        "examples/a/b.py",
        "pkg/benchmarks/x.py",
        "setup.py",
        "pkg/test_x.py",
        "pkg/x_test.py",
    ],
)
def test_files_that_stand_aside(path):
    assert stands_aside(path)


@pytest.mark.parametrize(
    "path", ["pkg/latest.py", "pkg/contest.py", "pkg/__init__.py", "pkg/testament/x.py", "pkg/setuptools.py"]
)
def test_files_that_do_not_stand_aside(path):
    assert not stands_aside(path)


@pytest.mark.parametrize("path", ["pip/_vendor/rich/x.py", "a/extern/b.py", "a/third_party/b.py", "a/_vendored/x/y.py"])
def test_copies_of_other_projects(path):
    assert is_vendored(path)
    assert not is_vendored("pkg/_vendor.py")
    assert not is_vendored("pkg/vendors/x.py")


# One file


def test_every_form_of_import():
    found = read(
        """
        import numpy
        import a.b.c as abc, d
        from e import f, g as h
        from i.j import *
        """
    ).imports
    assert [(i.line, i.module, i.names) for i in found] == [
        (2, "numpy", ()),
        (3, "a.b.c", ()),
        (3, "d", ()),
        (4, "e", ("f", "g")),
        (5, "i.j", ("*",)),
    ]


def test_the_standard_library_is_left_out():
    text = "from __future__ import annotations\nimport os.path, sys, ssl, msvcrt, winreg\nfrom xml.etree import x\n"
    assert read(text).imports == ()


@pytest.mark.parametrize(
    ("path", "statement", "module", "names"),
    [
        ("pkg/__init__.py", "from . import x", "pkg", ("x",)),
        ("pkg/mod.py", "from . import x", "pkg", ("x",)),
        ("pkg/sub/__init__.py", "from .y import x", "pkg.sub.y", ("x",)),
        ("pkg/sub/mod.py", "from .y import x", "pkg.sub.y", ("x",)),
        ("pkg/sub/mod.py", "from .. import x", "pkg", ("x",)),
        ("pkg/sub/mod.py", "from ..other.z import x", "pkg.other.z", ("x",)),
        ("toy-1.data/purelib/pkg/mod.py", "from . import x", "pkg", ("x",)),
    ],
)
def test_relative_imports_become_absolute(path, statement, module, names):
    (found,) = read(statement, path).imports
    assert (found.module, found.names) == (module, names)


@pytest.mark.parametrize(
    ("path", "statement"),
    [
        ("pkg/mod.py", "from .. import x"),
        ("pkg/mod.py", f"from {'.' * 500} import x"),
        ("top.py", "from . import x"),
        ("no-module/x.py", "from .y import z"),
    ],
)
def test_a_relative_import_that_leads_out_is_dropped(path, statement):
    assert read(statement, path).imports == ()


@pytest.mark.parametrize(
    "handler",
    [
        "except ImportError:",
        "except ModuleNotFoundError:",
        "except Exception:",
        "except BaseException:",
        "except:",
        "except (ImportError, OSError):",
        "except (OSError, builtins.ImportError) as error:",
        "except ValueError:\n    pass\nexcept ImportError:",
    ],
)
def test_a_guarded_import_is_optional_and_so_is_its_substitute(handler):
    text = f"try:\n    import a\n{handler}\n    import b\nelse:\n    import c\nfinally:\n    import d\nimport e\n"
    assert flags(text) == {
        "a": ("optional", ""),
        "b": ("optional", ""),
        "c": ("optional", ""),
        "d": ("", ""),
        "e": ("", ""),
    }


def test_a_try_that_lets_import_errors_through_guards_nothing():
    text = "try:\n    import a\nexcept ValueError:\n    import b\ntry:\n    import c\nfinally:\n    pass\n"
    assert flags(text) == {"a": ("", ""), "b": ("optional", ""), "c": ("", "")}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_an_exception_group_guards_too():
    assert flags("try:\n    import a\nexcept* ImportError:\n    pass\n") == {"a": ("optional", "")}


@pytest.mark.parametrize(
    "condition",
    [
        "sys.platform == 'win32'",
        "sys.platform.startswith('linux') and x",
        "os.name == 'nt'",
        "platform.system() == 'Windows'",
        "platform.python_implementation() == 'CPython'",
        "sys.version_info >= (3, 11)",
        "version_info[0] < 3",
        "sys.implementation.name == 'pypy'",
        "sys.hexversion > 0x030a0000",
        "importlib.util.find_spec('a') is not None",
        "not find_spec('a')",
        "six.PY2",
        "HAS_NUMPY",
        "has_a",
        "_have_torch and x",
        "is_torch_available()",
        "TYPE_CHECKING and x",
        "False",
        "0",
    ],
)
def test_a_condition_on_the_machine_makes_both_branches_optional(condition):
    text = f"if {condition}:\n    import a\nelse:\n    import b\n"
    assert flags(text) == {"a": ("optional", ""), "b": ("optional", "")}


@pytest.mark.parametrize("name", ["TYPE_CHECKING", "typing.TYPE_CHECKING", "t.TYPE_CHECKING", "MYPY_CHECK_RUNNING"])
def test_type_checkers_alone_see_one_branch(name):
    assert flags(f"if {name}:\n    import a\nelse:\n    import b\n") == {"a": ("optional", ""), "b": ("", "")}
    assert flags(f"if not {name}:\n    import a\nelse:\n    import b\n") == {"a": ("", ""), "b": ("optional", "")}


@pytest.mark.parametrize(
    "condition", ["__name__ == '__main__'", "os.environ.get('X')", "debug", "not hasattr(x, 'y')", "node.name == 'x'"]
)
def test_behind_another_condition_it_may_run_or_not(condition):
    text = f"if {condition}:\n    import a\nelif x:\n    import b\nelse:\n    import c\n"
    assert flags(text) == {"a": ("", "lazy"), "b": ("", "lazy"), "c": ("", "lazy")}


def test_functions_are_lazy_and_classes_are_not():
    text = """
        def f():
            import a
            try:
                import b
            except ImportError:
                pass
            class Inner:
                import c
        async def g():
            import d
        class C:
            import e
            def method(self):
                import f
    """
    assert flags(text) == {
        "a": ("", "lazy"),
        "b": ("optional", "lazy"),
        "c": ("", "lazy"),
        "d": ("", "lazy"),
        "e": ("", ""),
        "f": ("", "lazy"),
    }


@pytest.mark.parametrize(
    "manager",
    ["contextlib.suppress(ImportError)", "suppress(ImportError, OSError)", "try_import() as _imports", "optional()"],
)
def test_a_context_manager_guards(manager):
    assert flags(f"with {manager}:\n    import a\n") == {"a": ("optional", "")}


def test_other_blocks_change_nothing():
    text = """
        with warnings.catch_warnings():
            import a
        for x in y:
            import b
        else:
            import c
        while x:
            import d
        match x:
            case 1:
                import e
    """
    assert flags(text) == {"a": ("", ""), "b": ("", ""), "c": ("", ""), "d": ("", ""), "e": ("", "lazy")}


def test_the_same_import_is_told_once_by_its_first_line():
    found = read("def f():\n    import a\n\ndef g():\n    import a\n\nimport a\n").imports
    assert [(i.line, i.lazy) for i in found] == [(2, True), (7, False)]


def test_names_of_the_top_level():
    text = """
        import os.path, numpy as np
        from x import a, b as c
        d = e = 1
        f, (g, *h) = 1, (2, 3)
        [i, j] = 1, 2
        k: int = 3
        m += 1
        x.attribute = y[0] = 1
        def function(argument): local = 1
        async def coroutine(): pass
        class Class:
            inside = 1
        if z:
            conditional = 1
        try:
            tried = 1
        except E:
            caught = 1
        with open(p) as stream, o:
            pass
        for item in y:
            pass
        def sets():
            global from_function
            from_function = 1
    """
    names = (
        "Class a c caught conditional coroutine d e f from_function function g h i item j k m np os sets stream tried"
    )
    assert " ".join(read(text).names) == names


@pytest.mark.parametrize(
    "text",
    [
        "from x import *",
        "def __getattr__(name): ...",
        "__getattr__, __dir__, __all__ = lazy.attach(__name__, ())",
        "globals().update(x)",
        "globals()['x'] = 1",
        "vars()[name] = 1",
        "sys.modules[__name__] = Lazy()",
        "exec(code)",
    ],
)
def test_a_star_says_that_other_names_may_be_bound(text):
    assert "*" in read(text).names


def test_an_attribute_of_a_class_is_no_name_of_the_module():
    assert read("class A:\n    def __getattr__(self, name): ...\n").names == ("A",)


@pytest.mark.parametrize(
    "text",
    [
        "__path__ = __import__('pkgutil').extend_path(__path__, __name__)",
        "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)",
        "__import__('pkg_resources').declare_namespace(__name__)",
    ],
)
def test_declared_namespaces(text):
    assert read(text).namespace
    assert not read(text, "pkg/mod.py").namespace


# Hostile and odd files


def many(text, times):
    return (text * times).encode()


@pytest.mark.parametrize(
    "data",
    [
        many("(", 5000),
        many("[", 150),
        many("-", 100_000) + b"1",
        many("not ", 50_000) + b"1",
        many("lambda:", 50_000) + b"1",
        b"x = " + many("a.", 200_000) + b"a",
        b"import " + many("a.", 300_000) + b"a",
        b"import a" + many(" . \\\n a", 3000),
        b"x = 1" + many("+1", 300_000),
        b"x = f" + many("()", 300_000),
        b"x = f" + many("[0]", 200_000),
        b"x = " + many("1 if a else ", 100_000) + b"1",
        b"if x:\n pass\n" + many("elif x:\n pass\n", 20_000),
        b"".join(b" " * depth + b"if x:\n" for depth in range(150)) + b" " * 150 + b"import a\n",
        many("f'{", 300),
        b"x = " + b"1" * 5000,
        b"def f(:\n",
        b"print 'Python 2'\n",
        b"except ImportError, error: pass\n",
        b"if 1:\n\tx\n        y\n",
        b"'''never closed",
        b"x = '\\N{NO SUCH CHARACTER}'",
        b"import a\0\n",
        "import a\n".encode("utf-16"),
        "# caf\xe9\nimport a\n".encode("latin-1"),
        b"# coding: utf-8\nx = '\xff'\n\x00",
        b"\x7fELF",
        b"#" * (MAX_FILE_BYTES + 1),
    ],
    ids=range(28),
)
def test_what_cannot_be_read_gives_a_reason(data):
    started = time.perf_counter()
    found = scan_source("pkg/x.py", data)
    assert time.perf_counter() - started < 30
    assert found == Source(reason=found.reason)
    assert found.reason.isascii()
    assert 0 < len(found.reason) <= 200
    assert "\n" not in found.reason
    facts = scan_sources([("pkg/x.py", data), ("pkg/__init__.py", b"import a")])
    assert facts.unparsable == {"pkg/x.py": found.reason}
    assert facts.defined == {"pkg/__init__.py": ("a",)}


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfimport a\n",
        b"# -*- coding: latin-1 -*-\n# caf\xe9\nimport a\n",
        b"#!/usr/bin/python\n# vim: set fileencoding=cp1251 :\n# \xcf\xf0\nimport a\n",
        b"# -*- coding: no-such-codec -*-\n# \xe9\nimport a\n",
        b"# -*- coding: utf-16 -*-\nimport a\n",
        b"\r\n\r\nimport a\r\n",
        b"\n\nimport a\r",
        b"\x0c\nimport a\n",
        b"x = '\\N{GREEK SMALL LETTER ALPHA}'\nimport a\n",
        "größe = 1\nimport a\n".encode(),
    ],
)
def test_what_python_or_its_neighbours_can_read(data):
    assert [found.module for found in scan_source("pkg/x.py", data).imports] == ["a"]


def test_warnings_of_the_parser_are_nobodys_business():
    text = "import a\nx = '\\d'\ny = x is 1\nz = 1if x else 2\nassert (x, 'y')\n"
    assert [found.module for found in read(text).imports] == ["a"]


def test_after_a_syntax_error_no_file_is_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.py").write_text("SECRET")
    asked = []

    def note(source, filename="<unknown>", mode="exec", **options):
        asked.append(filename)
        return original(source, filename, mode, **options)

    original = ast.parse
    monkeypatch.setattr(ast, "parse", note)
    assert scan_source("x.py", b"def f(:\n").reason
    for name in asked:
        with pytest.raises(UnicodeEncodeError):
            name.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def test_long_dotted_names_and_long_lists_are_bounded():
    assert scan_source("x.py", b"import " + b"a." * 500 + b"a\n").imports == ()
    (found,) = scan_sources([("x.py", b"from y import " + b", ".join(b"n%d" % n for n in range(50_000)))]).imports
    assert len(found.names) == 50
    facts = scan_sources([(f"m{n}.py", b"\n".join(b"import m%dx" % n for n in range(3000))) for n in range(30)])
    assert len(facts.imports) == MAX_IMPORTS
    assert scan_source("x.py", b"\n".join(b"n%d = 1" % n for n in range(6000))).names == ("*",)


def test_a_wheel_with_too_many_names_is_not_kept_in_memory(monkeypatch):
    monkeypatch.setattr("truewheel.wheel.sources.MAX_NAMES", 10)
    facts = scan(a="import one\n" * 3, b="from x import " + ", ".join("abcdefgh"), c="pass")
    assert facts.unparsable == {"b.py": "the wheel's files hold too many names"} | dict.fromkeys(
        ["c.py"], "the wheel's files hold too many names"
    )


@given(st.binary(max_size=300))
def test_no_bytes_do_any_harm(data):
    found = scan_source("pkg/__init__.py", data)
    assert isinstance(found, Source)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Source) == found


_WORDS = """import from as . , a b.c * try: except ImportError: else: finally: if TYPE_CHECKING: sys.platform == "x" def
f(): class C: with suppress(E): for while x: pass global = ( ) [ ] lambda return match case _:"""
_PIECES = st.sampled_from([*_WORDS.split(), "\n", "\n    ", "\n        ", "import a\n"])


@given(st.dictionaries(st.sampled_from(["a.py", "a/__init__.py", "a/b.py", "x-y/z.py"]), st.lists(_PIECES)))
def test_no_words_do_any_harm(files):
    facts = scan_sources((path, " ".join(words).encode()) for path, words in files.items())
    assert msgspec.json.decode(msgspec.json.encode(facts), type=SourceFacts) == facts


# The whole wheel


def test_nothing_gives_nothing():
    assert scan_sources([]) == SourceFacts()
    assert scan_sources([("pkg/data.txt", b"import a"), ("pkg/x.pyi", b"import a")]) == SourceFacts()


def test_imports_of_the_wheel_itself_are_left_out_and_followed():
    facts = scan(
        pkg____init__="from . import core\nfrom pkg.other import thing\nimport numpy\n",
        pkg__core="import scipy\nfrom pkg import missing\nimport pkg.gone\n",
        pkg__other="thing = 1\n",
        pkg__apart="import pandas\n",
    )
    assert needed(facts) == ["numpy", "scipy"]
    assert facts.reached == ("pkg/__init__.py", "pkg/core.py", "pkg/other.py")
    assert facts.imports[-1] == Import("pkg/apart.py", 1, "pandas")
    assert {found.module for found in facts.imports} == {"numpy", "scipy", "pandas"}


def test_a_package_runs_before_its_modules():
    facts = scan(
        pkg____init__="from pkg.a.b import c",
        pkg__a____init__="import one",
        pkg__a__b____init__="import two",
        pkg__a__b__c="import three",
        pkg__a__other="import four",
    )
    assert needed(facts) == ["one", "three", "two"]


def test_cycles_end():
    facts = scan(pkg____init__="from . import a", pkg__a="from . import b", pkg__b="from . import a\nimport x")
    assert needed(facts) == ["x"]


def test_what_is_imported_late_or_in_a_script_is_not_reached():
    facts = scan(
        pkg____init__="def f():\n    from . import late\n",
        pkg__late="import a",
        pkg____main__="import b",
        pkg__cli="import c",
    )
    assert needed(facts) == []
    assert facts.reached == ("pkg/__init__.py",)
    assert {found.module for found in facts.imports} == {"a", "b", "c"}


def test_behind_an_optional_import_everything_is_optional():
    facts = scan(
        pkg____init__="try:\n    from . import extra\nexcept ImportError:\n    extra = None\n",
        pkg__extra="import torch\ndef f():\n    import late\n",
    )
    assert [(i.module, i.reached, i.optional) for i in facts.imports] == [
        ("torch", True, True),
        ("late", True, False),
    ]


def test_what_is_also_imported_for_sure_is_not_optional():
    facts = scan(
        pkg____init__="from . import user\ntry:\n    from . import extra\nexcept ImportError:\n    extra = None\n",
        pkg__user="from .extra import x",
        pkg__extra="import torch",
    )
    assert needed(facts) == ["torch"]


def test_several_packages_and_modules_are_all_reached():
    facts = scan(one____init__="import a", two="import b", three____init__="import c")
    assert needed(facts) == ["a", "b", "c"]


def test_a_private_module_beside_the_package_is_reached_only_by_imports():
    files = {"pkg____init__": "import _used", "_used": "import a", "_plugin": "import pytest"}
    assert needed(scan(**files)) == ["a"]
    assert needed(scan(_alone="import a")) == ["a"]


@pytest.mark.parametrize("folder", ["tests", "docs", "examples", "benchmarks"])
def test_what_stands_aside_is_not_reached(folder):
    facts = scan_tree({"pkg/__init__.py": "", f"{folder}/__init__.py": "import pytest", "setup.py": "import cython"})
    assert needed(facts) == []
    assert facts.reached == ("pkg/__init__.py",)
    assert set(facts.defined) == {"pkg/__init__.py"}


def test_namespace_packages_hold_what_is_in_the_wheel_and_no_more():
    facts = scan_tree(
        {
            "google/cloud/storage/__init__.py": """
                from google.cloud.storage import client
                from google.cloud import exceptions
                from google import auth
                import google.api_core.retry
                import google
            """,
            "google/cloud/storage/client.py": "import requests",
        }
    )
    assert needed(facts) == ["google", "google.api_core.retry", "google.cloud", "requests"]
    assert {i.module: i.names for i in facts.imports if i.names} == {
        "google": ("auth",),
        "google.cloud": ("exceptions",),
    }


def test_a_declared_namespace_is_shared_although_it_has_an_init():
    facts = scan_tree(
        {
            "zope/__init__.py": "__import__('pkg_resources').declare_namespace(__name__)",
            "zope/event/__init__.py": "import zope.interface\nimport zope.event.classhandler",
            "zope/event/classhandler.py": "import a",
        }
    )
    assert facts.namespaces == ("zope",)
    assert needed(facts) == ["a", "zope.interface"]


def test_a_declared_namespace_with_content_is_what_is_imported():
    facts = scan_tree(
        {
            "pkg/__init__.py": """
                __path__ = __import__("pkgutil").extend_path(__path__, __name__)
                from pkg import core
            """,
            "pkg/core.py": "import a",
            "pkg/torch/__init__.py": "import torch",
        }
    )
    assert needed(facts) == ["a"]


def test_modules_of_a_namespace_are_reached_but_scripts_in_a_folder_are_not():
    assert needed(scan_tree({"jaraco/context.py": "import a"})) == ["a"]
    assert needed(scan_tree({"pkg/__init__.py": "", "bin/convert.py": "import a"})) == []
    assert needed(scan_tree({"share/pkg/templates/x.py": "import a"})) == []


def test_a_folder_in_a_package_needs_no_init():
    facts = scan(pkg____init__="from pkg.inner import mod", pkg__inner__mod="import a")
    assert needed(facts) == ["a"]


def test_purelib_is_where_the_package_is():
    facts = scan_tree(
        {"toy-1.data/purelib/pkg/__init__.py": "from . import a", "toy-1.data/purelib/pkg/a.py": "import x"}
    )
    assert needed(facts) == ["x"]


def test_extension_modules_are_known_by_their_path():
    files = [
        ("google/upb/__init__.py", b"from google._upb import _message\nimport _top"),
        ("google/_upb/_message.abi3.so", b""),
        ("_top.cpython-311-x86_64-linux-gnu.so", b""),
    ]
    assert scan_sources(files).imports == ()


def test_vendored_copies_are_the_wheels_own():
    facts = scan_tree(
        {
            "pkg/__init__.py": "import sys\nsys.path.insert(0, 'x')\nimport more_itertools, tomli, yaml",
            "pkg/_vendor/more_itertools/__init__.py": "",
            "pkg/_vendor/tomli.py": "",
        }
    )
    assert needed(facts) == ["yaml"]


def test_a_script_may_import_its_neighbours():
    facts = scan(pkg____init__="", pkg__tools__run="import helper, shared", pkg__tools__helper="", pkg__shared="")
    assert facts.imports == ()


def test_a_module_that_bears_the_name_of_a_project_imports_the_project():
    facts = scan(pkg____init__="from . import yaml", pkg__yaml="import yaml")
    assert needed(facts) == ["yaml"]


def test_a_neighbour_is_not_found_by_its_bare_name_unless_the_path_is_altered():
    files = {"pkg____init__": "import helper", "pkg__helper": ""}
    assert needed(scan(**files)) == ["helper"]
    assert needed(scan(**files, pkg__path="import sys\nsys.path.append('.')")) == []


def test_facts_survive_the_way_out_of_the_child():
    facts = scan(pkg____init__="from numpy import array\nimport a", pkg__b="import")
    assert msgspec.json.decode(msgspec.json.encode(facts), type=SourceFacts) == facts


def test_a_package_hides_a_module_of_the_same_name():
    for paths in (["x.py", "x/__init__.py"], ["x/__init__.py", "x.py"], ["x.so", "x/__init__.py"]):
        assert ModuleTree(paths).files["x"] == "x/__init__.py"
