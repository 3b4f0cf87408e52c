"""Fetching a source: unpacked without trust, patched, found again."""

import contextlib
import gzip
import hashlib
import io
import shutil
import tarfile
import zlib

import msgspec
import pytest
from factories import make_recipe, make_source, recipe_table
from hypothesis import given
from hypothesis import strategies as st

from truewheel.config.load import LoadedRecipe, load_recipe
from truewheel.config.locations import data_root
from truewheel.config.tables import Recipe
from truewheel.errors import FetchError, LoadError
from truewheel.fetch import source
from truewheel.fetch.source import fetch_source, read_changes, tree_hash
from truewheel.plan.make import Changes, planned_source

FILES = {"CMakeLists.txt": "project(toy)\n", "src/toy.c": "int toy(void) {\n    return 1;\n}\n", "docs/long.md": "x\n"}
PATCH = b"""\
--- a/src/toy.c
+++ b/src/toy.c
@@ -1,3 +1,3 @@
 int toy(void) {
-    return 1;
+    return 2;
 }
"""
COMMIT = "c" * 40


def member(name, data=b"", *, mode=0o644, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname = len(data), mode, kind, link
    return info, data


def archive_of(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def sound_members():
    return [member(f"toy_engine-1.2.3/{name}", text.encode()) for name, text in FILES.items()]


@pytest.fixture
def fetch(tmp_path):
    """Put an archive into the cache and fetch it, as if it had been downloaded before."""

    def run(data, *, patches=None, patches_hash=None, added=None, **changes):
        planned = make_source(sha256=hashlib.sha256(data).hexdigest(), patches=patches_hash or (), **changes)
        folder = tmp_path / "cache" / "sources"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"toy-engine-1.2.3-{planned.sha256[:12]}.tar.gz").write_bytes(data)
        loaded = LoadedRecipe(make_recipe(), tmp_path)
        return fetch_source(loaded, planned, Changes(patches or {}, added or {}), tmp_path / "cache", "/bin")

    return run


@pytest.fixture
def refusal(fetch, tmp_path):
    """Fetch what must not be fetched and return the message; nothing half-made may be left."""

    def run(data, **options):
        with pytest.raises(FetchError) as caught:
            fetch(data, **options)
        assert caught.value.exit_code == 4
        assert not [path for path in (tmp_path / "cache" / "sources").iterdir() if path.is_dir()]
        return caught.value.message

    return run


@pytest.fixture
def tree(tmp_path):
    """A recipe with its source beside it."""
    for name, text in FILES.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(text)
    table = recipe_table()
    table["source"] = {"type": "path", "path": "tree", "version": "1.2.3", "exclude": ["docs/*"]}
    return LoadedRecipe(msgspec.convert(table, Recipe), tmp_path)


def listing(path):
    return sorted(item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_file())


def test_an_archive_is_unpacked_without_its_top_folder(fetch):
    found = fetch(archive_of(sound_members()))
    assert found.fresh
    assert listing(found.path) == sorted(FILES)
    assert (found.path / "src/toy.c").read_text() == FILES["src/toy.c"]


def test_the_same_source_is_found_again(fetch):
    data = archive_of(sound_members())
    first = fetch(data)
    second = fetch(data)
    assert (second.path, second.fresh) == (first.path, False)


def test_a_header_that_was_put_into_a_tree_is_not_compiled(fetch, capsys):
    data = archive_of(sound_members())
    first = fetch(data)
    (first.path / "src" / "stdio.h").touch()
    assert fetch(data).fresh
    assert listing(first.path) == sorted(FILES)
    assert "src/stdio.h was put there" in capsys.readouterr().err
    assert not fetch(data).fresh


def test_an_archive_that_is_not_what_was_kept_is_fetched_again(fetch, tmp_path, monkeypatch):
    data = archive_of(sound_members())
    first = fetch(data)
    shutil.rmtree(first.path)
    (archive,) = (tmp_path / "cache" / "sources").glob("*.tar.gz")
    archive.write_bytes(data[:-1] + b"?")

    def download(_name, _version, _sha256, folder, *, search_path):
        assert search_path
        (folder / "new.tar.gz").write_bytes(data)
        return folder / "new.tar.gz"

    monkeypatch.setattr(source.index, "download_source", download)
    planned = first.source
    found = fetch_source(LoadedRecipe(make_recipe(), tmp_path), planned, Changes({}, {}), tmp_path / "cache", "/bin")
    assert (found.fresh, archive.read_bytes()) == (True, data)


def test_another_patch_or_exclusion_makes_another_tree(fetch):
    data = archive_of(sound_members())
    trees = [fetch(data), fetch(data, patches_hash=("p sha256:1",)), fetch(data, exclude=("docs/*",))]
    assert len({found.path for found in trees}) == 3


def test_a_half_made_tree_is_made_anew(fetch):
    data = archive_of(sound_members())
    first = fetch(data)
    first.path.with_name(f"{first.path.name}.seal").unlink()
    (first.path / "stray").touch()
    again = fetch(data)
    assert again.fresh
    assert not (again.path / "stray").exists()


def test_what_is_excluded_is_left_in_the_archive(fetch):
    found = fetch(archive_of(sound_members()), exclude=("docs/*", "*.txt"))
    assert listing(found.path) == ["src/toy.c"]


def test_everything_excluded_is_an_error(refusal):
    assert "nothing is left of the source" in refusal(archive_of(sound_members()), exclude=("*",))


def test_an_empty_archive_is_an_error(refusal):
    assert "nothing is left of the source" in refusal(archive_of([]))


def test_modes_are_clamped(fetch):
    members = [
        member("t/run", b"x", mode=0o4777),
        member("t/read", b"x", mode=0o400),
        member("t/own", b"x", mode=0o700),
    ]
    path = fetch(archive_of(members)).path
    assert [(path / name).stat().st_mode & 0o7777 for name in ("run", "read", "own")] == [0o755, 0o644, 0o755]


def test_links_and_devices_are_passed_over(fetch):
    members = [
        *sound_members(),
        member("t/link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("t/hard", kind=tarfile.LNKTYPE, link="t/CMakeLists.txt"),
        member("t/pipe", kind=tarfile.FIFOTYPE),
        member("t/device", kind=tarfile.CHRTYPE),
        member("t/folder", kind=tarfile.DIRTYPE),
    ]
    assert listing(fetch(archive_of(members)).path) == sorted(FILES)


def test_nothing_is_written_through_a_link(fetch, tmp_path):
    members = [member("t/out", kind=tarfile.SYMTYPE, link=str(tmp_path)), member("t/out/evil", b"x")]
    assert fetch(archive_of(members)).path.joinpath("out/evil").is_file()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["/etc/evil", "t/../../evil", "../evil", "t/a/../../../evil"])
def test_unsafe_paths_are_refused(refusal, name):
    info, data = member("x", b"x")
    info.name = name
    assert f"unsafe path: {name!r}" in refusal(archive_of([*sound_members(), (info, data)]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("top", None), ("top/", None), (".", None), ("", None), ("top/a", "a"), ("top/./a//b", "a/b"), ("./top/a", "a")],
)
def test_safe_path_leaves_the_top_folder_out(name, expected):
    assert source._safe_path(name) == expected


@given(st.text(max_size=30))
def test_a_safe_path_never_leaves_the_folder(name):
    try:
        path = source._safe_path(name)
    except FetchError:
        return
    assert path is None or not (path.startswith("/") or ".." in path.split("/"))


def test_a_patch_is_applied(fetch):
    found = fetch(archive_of(sound_members()), patches={"two.patch": PATCH})
    assert (found.path / "src/toy.c").read_text() == FILES["src/toy.c"].replace("1", "2")


def test_patches_are_applied_in_order(fetch):
    second = PATCH.replace(b"-    return 1;\n+    return 2;", b"-    return 2;\n+    return 3;")
    found = fetch(archive_of(sound_members()), patches={"b": PATCH, "a": second})
    assert "return 3;" in (found.path / "src/toy.c").read_text()


@pytest.mark.parametrize(
    "patch",
    [
        PATCH.replace(b"return 1", b"return 7"),
        PATCH.replace(b"src/toy.c", b"src/gone.c"),
        PATCH.replace(b"@@ -1,3 +1,3 @@", b"@@ -2,3 +2,3 @@"),
        PATCH + PATCH.replace(b"src/toy.c", b"docs/long.md"),
    ],
)
def test_a_patch_that_does_not_apply(refusal, patch):
    assert "two.patch does not apply" in refusal(archive_of(sound_members()), patches={"two.patch": patch})


@pytest.mark.parametrize("patch", [b"", b"hello\n", b"--- a/x\n+++ b/x\n", b"\xff\xfe"])
def test_what_is_no_patch(refusal, patch):
    assert "two.patch is no unified diff" in refusal(archive_of(sound_members()), patches={"two.patch": patch})


def head(text, name="llama.cpp"):
    return member(f"t/.git/modules/vendor/{name}/HEAD", text.encode())


@pytest.mark.parametrize("text", [COMMIT, f"{COMMIT}\n", "ref: refs/heads/main\n"])
def test_the_commit_that_the_archive_carries_fits(fetch, text):
    found = fetch(archive_of([*sound_members(), head(text)]), commit={"llama.cpp": COMMIT}, exclude=(".git/*",))
    assert not (found.path / ".git").exists()


def test_another_commit_is_refused(refusal):
    message = refusal(archive_of([head("d" * 40), *sound_members()]), commit={"llama.cpp": COMMIT})
    assert message == f"toy-engine 1.2.3 holds llama.cpp at {'d' * 40}, the recipe says {COMMIT}"


def test_another_modules_commit_and_logs_are_not_compared(fetch):
    logs = member("t/.git/modules/vendor/llama.cpp/logs/HEAD", b"e" * 40)
    other = [*sound_members(), head("d" * 40, "other"), logs]
    assert fetch(archive_of(other), commit={"llama.cpp": COMMIT}).fresh


@pytest.mark.parametrize(
    "data",
    [b"", b"no archive", gzip.compress(b"no tar"), gzip.compress(b"x" * 5000)],
    ids=["empty", "text", "no tar", "long"],
)
def test_what_is_no_archive(refusal, data):
    assert "is damaged" in refusal(data)


def incompressible():
    return [member(f"t/{number}", hashlib.sha256(bytes([number])).digest() * 40) for number in range(20)]


def test_a_cut_off_archive_is_damaged_wherever_it_is_cut(refusal):
    whole = archive_of(incompressible())
    for length in range(0, len(whole) - 8, 97):
        assert "is damaged" in refusal(whole[:length])


def test_a_changed_archive_is_damaged_or_whole(fetch, tmp_path):
    whole = archive_of(incompressible())
    for position in range(0, len(whole), 41):
        data = bytearray(whole)
        data[position] ^= 0x55
        with contextlib.suppress(FetchError):
            fetch(bytes(data))
    assert not [path for path in (tmp_path / "cache" / "sources").iterdir() if path.name.endswith(".part")]


def test_an_archive_that_is_damaged_in_the_middle_of_a_file(refusal):
    info, data = member("t/big", bytes(1 << 20))
    packer = zlib.compressobj(0, wbits=-15)
    stream = packer.compress(info.tobuf() + data[: 700 << 10]) + packer.flush(zlib.Z_FULL_FLUSH)
    no_such_block = b"\xff" * 200
    assert "is damaged" in refusal(b"\x1f\x8b\x08" + bytes(7) + stream + no_such_block)


def test_an_archive_that_unpacks_to_too_much(refusal, monkeypatch):
    monkeypatch.setattr(source, "_MAX_BYTES", 50)
    assert "unpacks to more than" in refusal(archive_of(incompressible()))


def test_an_archive_of_another_hash_is_refused_and_not_kept(tmp_path, monkeypatch):
    def download(_name, _version, _sha256, folder, **_):
        (folder / "download.tar.gz").write_bytes(archive_of(sound_members()))
        return folder / "download.tar.gz"

    monkeypatch.setattr(source.index, "download_source", download)
    with pytest.raises(FetchError, match=r"has sha256 [0-9a-f]{64}, the recipe says a{64}"):
        fetch_source(LoadedRecipe(make_recipe(), tmp_path), make_source(), Changes({}, {}), tmp_path, "/bin")
    assert not list((tmp_path / "sources").glob("*.tar.gz"))


def test_an_archive_in_the_cache_that_was_changed_is_downloaded_again(tmp_path, monkeypatch):
    data = archive_of(sound_members())
    planned = make_source(sha256=hashlib.sha256(data).hexdigest())
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / f"toy-engine-1.2.3-{planned.sha256[:12]}.tar.gz").write_bytes(b"changed")

    def download(_name, _version, _sha256, folder, **_):
        (folder / "download.tar.gz").write_bytes(data)
        return folder / "download.tar.gz"

    monkeypatch.setattr(source.index, "download_source", download)
    assert fetch_source(LoadedRecipe(make_recipe(), tmp_path), planned, Changes({}, {}), tmp_path, "/bin").fresh


def test_a_path_source_is_copied_without_what_is_excluded_or_pruned(tree, tmp_path):
    for stray in (".git/config", "src/__pycache__/x.pyc"):
        (tmp_path / "tree" / stray).parent.mkdir(parents=True)
        (tmp_path / "tree" / stray).write_text("x")
    (tmp_path / "tree" / "link").symlink_to("/etc/passwd")
    planned = planned_source(tree.recipe, Changes({}, {}), tree_hash(tree))
    found = fetch_source(tree, planned, Changes({"p": PATCH}, {}), tmp_path / "cache", "/bin")
    assert listing(found.path) == ["CMakeLists.txt", "src/toy.c"]
    assert "return 2;" in (found.path / "src/toy.c").read_text()
    assert "return 1;" in (tmp_path / "tree" / "src/toy.c").read_text()


def test_the_hash_of_a_tree_changes_with_names_and_contents_alone(tree, tmp_path):
    root = tmp_path / "tree"
    first = tree_hash(tree)
    (root / "src/toy.c").touch()
    (root / "docs/long.md").write_text("excluded")
    (root / ".git").mkdir()
    (root / ".git/HEAD").write_text("pruned")
    assert tree_hash(tree) == first
    (root / "src/toy.c").rename(root / "src/tyo.c")
    renamed = tree_hash(tree)
    (root / "src/tyo.c").write_text("changed")
    assert len({first, renamed, tree_hash(tree)}) == 3


def test_a_package_has_no_tree_to_hash(tmp_path):
    assert tree_hash(LoadedRecipe(make_recipe(), tmp_path)) == ""


def test_a_tree_that_is_not_there(tree):
    with pytest.raises(LoadError, match=r"source\.path is no folder"):
        tree_hash(LoadedRecipe(tree.recipe, tree.folder / "elsewhere"))


def test_patches_are_read_in_the_recipes_order(tmp_path):
    (tmp_path / "b.patch").write_bytes(b"B")
    (tmp_path / "a.patch").write_bytes(b"A")
    recipe = make_recipe(source={"patches": ["b.patch", "a.patch"]})
    assert list(read_changes(LoadedRecipe(recipe, tmp_path)).patches.items()) == [("b.patch", b"B"), ("a.patch", b"A")]


def test_a_patch_that_is_not_there(tmp_path):
    recipe = make_recipe(source={"patches": ["gone.patch"]})
    with pytest.raises(LoadError, match=r"gone\.patch: the recipe names this patch"):
        read_changes(LoadedRecipe(recipe, tmp_path))


def test_the_files_of_a_folder_are_added_where_the_recipe_says(tmp_path, fetch):
    (tmp_path / "kernels" / "deep").mkdir(parents=True)
    (tmp_path / "kernels" / "a.h").write_bytes(b"A")
    (tmp_path / "kernels" / "deep" / "b.h").write_bytes(b"B")
    recipe = make_recipe(source={"add": {"kernels": "vendor/ours"}})
    changes = read_changes(LoadedRecipe(recipe, tmp_path))
    assert changes.added == {"vendor/ours/a.h": b"A", "vendor/ours/deep/b.h": b"B"}
    found = fetch(archive_of(sound_members()), added=changes.added)
    assert (found.path / "vendor/ours/deep/b.h").read_bytes() == b"B"


@pytest.mark.parametrize(
    ("add", "message"),
    [
        ({"gone": "vendor"}, "there is no file in it"),
        ({"kernels": "../outside"}, "outside the source tree"),
        ({"kernels": "/outside"}, "outside the source tree"),
    ],
)
def test_a_folder_that_cannot_be_added(tmp_path, add, message):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "a.h").write_bytes(b"A")
    with pytest.raises(LoadError, match=message):
        read_changes(LoadedRecipe(make_recipe(source={"add": add}), tmp_path))


def test_a_file_that_is_added_replaces_none(refusal):
    assert f"has a {next(iter(FILES))} of its own" in refusal(
        archive_of(sound_members()), added={next(iter(FILES)): b"ours"}
    )


def test_the_rust_engines_patch_applies_to_its_crates(tmp_path):
    loaded = load_recipe(str(data_root() / "recipes/llama-rs/bundled.toml"))
    changes = read_changes(loaded)
    source = planned_source(loaded.recipe, changes, tree_hash(loaded))
    tree = fetch_source(loaded, source, changes, tmp_path, "")
    assert "[patch.crates-io]" not in (tree.path / "Cargo.toml").read_text()
    assert 'name = "cmake"' in (tree.path / "Cargo.lock").read_text()
