"""Run an engine under a preset: threads, batches, types of the KV cache and memory, as `truewheel tune` writes them.

    from llama_cpp.truewheel_preset import load
    llama = load("model.gguf", "preset.toml")

`llama` is the package's own `Llama`. Its attribute `truewheel_settings` says what was followed and what was not, and
`python -m llama_cpp.truewheel_preset preset.toml` what would be. Written by truewheel; standard library only. Nothing
here belongs to the package that the file lies in: `open_engine` does the same with any package of llama_cpp's shape.
"""

import contextlib
import ctypes
import difflib
import errno
import importlib
import inspect
import os
import sys
import threading

_MOST = 2**31 - 1
_MOST_THREADS = 512  # ggml's pools have room for so many, and end the process beyond
_KV_TYPES = {"f16": 1, "q8_0": 8, "q4_0": 2}  # ggml's numbers of them
_FLASH = {"auto": None, "on": True, "off": False}
_FLASH_AUTO = -1  # llama.cpp's LLAMA_FLASH_ATTN_TYPE_AUTO


class Setting:
    """What one setting of a preset may be, where an engine has it, and what `truewheel tune` tries.

    text: what it is. bounds: of a whole number, or of each in a list. words: what an engine takes for each. A setting
    that has neither is true or false. argument: of the engine, where it has another name. structure: which of
    llama.cpp's own parameters, by the package's bindings, has it where it is no argument; fields: where those have
    another name. tried: values, the engine's own first. alters: whether it can change what the engine answers.
    """

    def __init__(
        self, text, bounds=None, words=None, *, many=False, argument="", structure="", fields=(), tried=(), alters=False
    ):
        self.text, self.bounds, self.words, self.many = text, bounds, words, many
        self.argument, self.structure, self.fields = argument, structure, fields
        self.tried, self.alters = tried, alters

    def fault(self, value):
        """Return what a value must be, or an empty text when it is."""
        if self.many:
            numbers = isinstance(value, (list, tuple)) and all(type(one) is int and self._holds(one) for one in value)
            fits, wanted = numbers and value and len(set(value)) == len(value), "a list of different numbers of CPUs"
        elif self.bounds:
            fits, wanted = type(value) is int and self._holds(value), "a whole number from %d to %d" % self.bounds
        elif self.words:
            fits, wanted = value in list(self.words), "one of %s" % ", ".join(self.words)
        else:
            fits, wanted = isinstance(value, bool), "true or false"
        return "" if fits else wanted

    def _holds(self, number):
        return self.bounds[0] <= number <= self.bounds[1]


_SIZE, _THREADS = (1, _MOST), (1, _MOST_THREADS)
SETTINGS = {
    "n_ctx": Setting("tokens that the context holds; 0 takes the model's own length", (0, _MOST)),
    "n_batch": Setting("tokens of a prompt that are handed over at once", _SIZE, tried=(512, 1024, 2048)),
    "n_ubatch": Setting(
        "tokens of a prompt that are computed at once, not more than `n_batch`",
        _SIZE,
        structure="context",
        tried=(512, 256, 128, 1024, 2048),
    ),
    "n_threads": Setting("threads that compute a single token", _THREADS),
    "n_threads_batch": Setting("threads that compute a prompt", _THREADS, structure="context"),
    "flash_attn": Setting(
        "attention in one step, without the large matrix between; `auto` lets llama.cpp decide",
        words=_FLASH,
        tried=("off", "on"),
        alters=True,
    ),
    "type_k": Setting(
        "type of the keys in the KV cache",
        words=_KV_TYPES,
        structure="context",
        tried=("f16", "q8_0"),
        alters=True,
    ),
    "type_v": Setting(
        "type of the values in it; other than `f16` it needs `flash_attn`",
        words=_KV_TYPES,
        structure="context",
        tried=("f16", "q8_0"),
        alters=True,
    ),
    "repack": Setting(
        "arrange the weights for this CPU while loading (llama.cpp's `use_extra_bufts`)",
        argument="use_extra_bufts",
        structure="model",
        fields=("use_extra_bufts", "repack_tensors"),
        tried=(True, False),
        alters=True,
    ),
    "huge_pages": Setting(
        "put large memory on huge pages after loading; weights only with `use_mmap = false`, or repacked",
        tried=(False, True),
    ),
    "own_pool": Setting(
        "let threads stay from one token to the next, instead of starting them for each", tried=(True, False)
    ),
    "poll": Setting("how long threads of that pool spin before they sleep, 0 to 100", (0, 100), tried=(50, 100, 0)),
    "cpus": Setting("numbers of the CPUs that the threads may use", (0, _MOST_THREADS - 1), many=True),
    "use_mmap": Setting("map the file instead of reading it", tried=(True, False)),
    "use_mlock": Setting("keep the weights from being swapped out", tried=(False, True)),
}
_OTHERWISE = ("flash_attn", "huge_pages", "own_pool", "poll", "cpus")  # followed by more than an argument or a field
_TABLES = ("schema", "for", "settings", "figures", "runner-up", "evidence")

_LOADERS = {
    "model": ("llama_model_load_from_file", "llama_load_model_from_file"),
    "context": ("llama_init_from_model", "llama_new_context_with_model"),
}
_LOCK = threading.RLock()

_LARGE = 4 << 20
_PAGE = 2 << 20  # a huge page of x86-64
_HUGEPAGE, _COLLAPSE = 14, 25  # madvise's MADV_HUGEPAGE and MADV_COLLAPSE
_CPU_DEVICE = 0  # ggml's GGML_BACKEND_DEVICE_TYPE_CPU


# What is asked for


def read_preset(preset, purpose=None):
    """Return the settings of a preset: the path of a TOML file, or settings by name.

    purpose: what a file must be for, where it says what it is for: cpu, cores, fingerprint, engine.

    Raises OSError for a file that cannot be read, ValueError for what is wrong in it, TypeError for neither of both.
    """
    if isinstance(preset, dict):
        return check_settings(preset)
    if not isinstance(preset, (str, os.PathLike)):
        raise TypeError("a preset is the path of a TOML file, or a dict of settings, not %s" % type(preset).__name__)
    try:
        import tomllib
    except ImportError:
        try:
            import tomli as tomllib
        except ImportError:
            reason = "a preset is a TOML file, which Python reads since 3.11: install tomli, or give a dict of settings"
            raise ImportError(reason) from None
    with open(preset, "rb") as stream:
        content = stream.read()
    try:
        tables = tomllib.loads(content.decode("utf-8"))
        if purpose is not None:
            _refuse_foreign(tables.get("for", {}), purpose)
        return _read_tables(tables)
    except ValueError as error:
        raise ValueError("%s: %s" % (os.fspath(preset), error)) from None


def _refuse_foreign(stated, purpose):
    """Raise ValueError for a preset that states another purpose than it was found for; it need not state any."""
    machine, model = stated.get("machine", {}), stated.get("model", {})
    pairs = {
        "CPU": (machine.get("cpu"), purpose.cpu),
        "number of CPUs": (machine.get("cores"), purpose.cores),
        "model": (model.get("fingerprint"), purpose.fingerprint),
        "engine": (stated.get("engine"), purpose.engine),
    }
    for what, (own, wanted) in pairs.items():
        if own not in {None, wanted}:
            raise ValueError("it is for another %s: %s, not %s" % (what, own, wanted))


def _read_tables(tables):
    _refuse_unknown(tables, _TABLES, "key")
    if tables.get("schema") != 1:
        raise ValueError("schema = 1 is missing: only presets of that format are known")
    settings = tables.get("settings")
    if settings is None or not hasattr(settings, "items"):
        raise ValueError("it has no table [settings]")
    return check_settings(settings)


def check_settings(settings: dict) -> dict:
    """Return a copy of settings by name; raise ValueError in words for an unknown one, or one that cannot be."""
    _refuse_unknown(settings, SETTINGS, "setting")
    for name, value in settings.items():
        fault = SETTINGS[name].fault(value)
        if fault:
            raise ValueError("%s is %r, and must be %s" % (name, value, fault))
    if settings.get("n_ubatch", 0) > settings.get("n_batch", _MOST):
        raise ValueError("n_ubatch (%d) is more than n_batch (%d)" % (settings["n_ubatch"], settings["n_batch"]))
    if settings.get("type_v", "f16") != "f16" and settings.get("flash_attn") == "off":
        raise ValueError('type_v = "%s" needs flash attention: flash_attn may not be "off"' % settings["type_v"])
    return dict(settings)


def _refuse_unknown(names, known, kind):
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
            hint = "did you mean %r? " % near[0] if near else ""
            raise ValueError("there is no %s %r: %sknown are %s" % (kind, name, hint, ", ".join(known)))


# How a package follows


class Way:
    """How one package follows settings, before anything is loaded.

    arguments: of its engine. fields: of llama.cpp's parameters for model and context. pool, poll, cpus, huge_pages:
    what is done around the engine. not_followed: reasons by setting. `parameters` are the engine's own arguments, and
    `given` those that are given to it in any case.
    """

    def __init__(self, package, settings, given=()):
        self.settings = check_settings(settings)
        self.given = given
        self.engine = _find_engine(package)
        self.bindings = _find_bindings(package)
        self.parameters = _parameters_of(self.engine)
        self.arguments = {}
        self.fields = {"model": {}, "context": {}}
        self.pool, self.poll, self.cpus = False, None, []
        self.huge_pages = self.settings.get("huge_pages", False)
        self.not_followed = {}
        self._follow()

    def _follow(self):
        for name, value in self.settings.items():
            if name not in _OTHERWISE:
                words = SETTINGS[name].words
                self._give(name, words[value] if words else value)
        # llama_cpp switches it off unless told otherwise, and llama.cpp then refuses a quantized V cache.
        implied = self.settings.get("type_v", "f16") != "f16" and "flash_attn" not in self.given
        if implied or "flash_attn" in self.settings:
            self._follow_flash(self.settings.get("flash_attn", "auto"))
        if {"poll", "cpus"} <= self.parameters:
            self._follow_threads_by_arguments()
        else:
            self._follow_threads()

    def _give(self, name, value):
        """Follow a setting by an argument of the engine, else by a field."""
        setting = SETTINGS[name]
        argument = setting.argument or name
        if argument in self.parameters:
            self.arguments[argument] = value
            return
        for field in setting.fields or (name,):
            if setting.structure and _has_field(self.bindings, setting.structure, field):
                self.fields[setting.structure][field] = value
                return
        self.not_followed[name] = "%s has no such argument" % self.engine.__name__

    def _follow_flash(self, wanted):
        if "flash_attn" not in self.parameters:
            self.not_followed["flash_attn"] = "%s has no such argument" % self.engine.__name__
        elif wanted != "auto" or self.bindings is None:
            self.arguments["flash_attn"] = _FLASH[wanted]
        elif _has_field(self.bindings, "context", "flash_attn_type"):
            self.fields["context"]["flash_attn_type"] = _FLASH_AUTO
        elif "flash_attn" in self.settings:
            self.not_followed["flash_attn"] = "%s knows on and off alone, and keeps its own" % self.engine.__name__

    def _follow_threads_by_arguments(self):
        """Follow what is said of threads where the engine has a pool of its own in any case."""
        if "poll" in self.settings:
            self.arguments["poll"] = self.settings["poll"]
        if not self.settings.get("own_pool", True):
            self.not_followed["own_pool"] = "the threads of this engine stay between calls in any case"
        if "cpus" in self.settings:
            self.arguments["cpus"] = self.take_cpus(os.sched_getaffinity(0))

    def _follow_threads(self):
        self.cpus = self.settings.get("cpus", [])
        tell = getattr(self.bindings, "llama_print_system_info", None)
        info = tell() if tell and _library_of(self.bindings) else b""
        stay = b"THREADS_STAY = 1" in info
        if stay and not self.settings.get("own_pool", True):
            self.not_followed["own_pool"] = "the threads of this engine stay between calls in any case"
        # The backend of such a build keeps its threads by itself: a pool is made for what is asked of it alone.
        elif self.settings.get("own_pool", False) and (not stay or "poll" in self.settings or self.cpus):
            reason = _lack_of_pools(self.bindings)
            self.pool = not reason
            if reason:
                self.not_followed["own_pool"] = reason
        if self.pool and b"OPENMP = 1" not in info:
            self.poll = self.settings.get("poll")
        elif "poll" in self.settings:
            self.not_followed["poll"] = (
                "this build's threads are OpenMP's, which has its own way to wait"
                if self.pool
                else "it is about the threads of own_pool"
            )

    def take_cpus(self, usable):
        """Return which of the CPUs can be used here."""
        lost = sorted(set(self.settings["cpus"]) - set(usable))
        if lost:
            self.not_followed["cpus"] = "not usable here: %s" % ", ".join(map(str, lost))
        return [cpu for cpu in self.settings["cpus"] if cpu in usable]


def _find_engine(package):
    for name in ("Llama", "IkLlama"):
        if inspect.isclass(getattr(package, name, None)):
            return getattr(package, name)
    raise TypeError("%s has no class Llama: its engine cannot be opened with a preset" % package.__name__)


def _parameters_of(engine):
    """Return the arguments that an engine names; llama_cpp takes others as well, and does nothing with them."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    signature = inspect.signature(engine.__init__).parameters.values()
    return {parameter.name for parameter in signature if parameter.kind in kinds}


def _find_bindings(package):
    """Return the module of a package that calls llama.cpp by ctypes; None where it calls it otherwise."""
    for name in ("llama_cpp", "_ctypes_api"):
        module = getattr(package, name, None)
        if hasattr(module, "llama_context_params") and hasattr(module, "llama_model_params"):
            return module
    return None


def _has_field(bindings, kind, field):
    if bindings is None or not any(hasattr(bindings, name) for name in _LOADERS[kind]):
        return False
    return field in [row[0] for row in getattr(bindings, "llama_%s_params" % kind)._fields_]


@contextlib.contextmanager
def filled_in(bindings, fields):
    """Set fields of llama.cpp's parameters when this thread hands them over, for as long as the block lasts."""
    me = threading.get_ident()

    def fill_in(function, values):
        def call(*arguments):
            for argument in arguments:
                if isinstance(argument, ctypes.Structure) and threading.get_ident() == me:
                    for field, value in values.items():
                        setattr(argument, field, value)
            return function(*arguments)

        return call

    wanted = [(name, values) for kind, values in fields.items() if values for name in _LOADERS[kind]]
    kept = {}
    # One after the other: each takes away what it has put there.
    with _LOCK if wanted else contextlib.nullcontext():
        try:
            for name, values in wanted:
                if hasattr(bindings, name):
                    kept[name] = getattr(bindings, name)
                    setattr(bindings, name, fill_in(kept[name], values))
            yield
        finally:
            for name, function in kept.items():
                setattr(bindings, name, function)


# Memory


def use_huge_pages():
    """Put the process's large private memory on huge pages; return how many bytes more lie on them, and the errors.

    What is in use is rearranged now (MADV_COLLAPSE, Linux 6.1 and newer), the rest when it is touched. An error is a
    mapping that may not have huge pages, or a page that was in use and could not be made, for want of free memory say.
    """
    before = _huge_bytes()
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def refusal(start, size, advice):
        return ctypes.get_errno() if madvise(start, size, advice) else 0

    errors = 0
    with open("/proc/self/maps") as stream:
        spans = find_large_memory(stream.readlines())
    for start, size in spans:
        if refusal(start, size, _HUGEPAGE):
            errors += 1
        elif refusal(start, size, _COLLAPSE):
            # Some systems stop at the first page that is not in use yet, and say EINVAL.
            pages = range(-(-start // _PAGE) * _PAGE, start + size - _PAGE + 1, _PAGE)
            errors += sum(refusal(page, _PAGE, _COLLAPSE) not in {0, errno.EINVAL} for page in pages)
    return max(_huge_bytes() - before, 0), errors


def find_large_memory(lines):
    """Return start and size of what is writable, private, of no file, and at least 4 MiB in lines of /proc/PID/maps."""
    found = []
    for line in lines:
        span, access, _, _, _, *path = line.split()
        start, end = (int(part, 16) for part in span.split("-"))
        anonymous = not path or path[0].startswith(("[heap", "[anon"))
        if access == "rw-p" and anonymous and end - start >= _LARGE:
            found.append((start, end - start))
    return found


def _huge_bytes():
    with open("/proc/self/smaps_rollup") as stream:
        for line in stream:
            if line.startswith("AnonHugePages:"):
                return int(line.split()[1]) * 1024
    return 0


# Threads


class _PoolParams(ctypes.Structure):
    """ggml_threadpool_params of ggml.h, with room behind it in case it has grown."""

    _fields_ = [
        ("cpumask", ctypes.c_bool * _MOST_THREADS),
        ("n_threads", ctypes.c_int),
        ("prio", ctypes.c_int),
        ("poll", ctypes.c_uint32),
        ("strict_cpu", ctypes.c_bool),
        ("paused", ctypes.c_bool),
        ("room", ctypes.c_char * 1024),
    ]


def _function(library, name, result, *arguments):
    """Return a function of a library; AttributeError where it has none of that name."""
    return ctypes.CFUNCTYPE(result, *arguments)((name, library))


def _library_of(bindings):
    """Return llama.cpp's library, by which those that it needs are found as well; None where there is none."""
    if bindings is None:
        return None
    return next((value for value in vars(bindings).values() if isinstance(value, ctypes.CDLL)), None)


def _lack_of_pools(bindings):
    """Return why a package's contexts can be given no pool of threads; empty when they can."""
    library = _library_of(bindings)
    needed = ("llama_attach_threadpool", "llama_detach_threadpool", "ggml_threadpool_params_init")
    if library is None or not all(hasattr(library, name) for name in needed):
        return "this package's llama.cpp cannot be given a pool of threads"
    return ""


def _find_pool_makers(library):
    """Return ggml_threadpool_new and ggml_threadpool_free, which are the CPU backend's, loaded at run time or not."""
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    names = ("ggml_threadpool_new", "ggml_threadpool_free")
    if hasattr(library, names[0]):
        return _function(library, names[0], pointer, pointer), _function(library, names[1], None, pointer)
    device = _function(library, "ggml_backend_dev_by_type", pointer, ctypes.c_int)(_CPU_DEVICE)
    registry = _function(library, "ggml_backend_dev_backend_reg", pointer, pointer)(device) if device else None
    find = _function(library, "ggml_backend_reg_get_proc_address", pointer, pointer, text)
    found = [find(registry, name.encode()) for name in names] if registry else [None]
    if not all(found):
        raise AttributeError(names[0])
    return ctypes.CFUNCTYPE(pointer, pointer)(found[0]), ctypes.CFUNCTYPE(None, pointer)(found[1])


def _make_pool(library, n_threads, poll, cpus, paused):
    """Return a pool; its own wishes are those of ggml for what is not given."""
    params = _PoolParams()
    _function(library, "ggml_threadpool_params_init", None, ctypes.c_void_p, ctypes.c_int)(
        ctypes.addressof(params), n_threads
    )
    if params.n_threads != n_threads or params.paused or params.strict_cpu:
        raise AttributeError("ggml_threadpool_params")  # it is not as it is known here
    for cpu in cpus:
        params.cpumask[cpu] = True
    params.poll = params.poll if poll is None else poll
    params.paused = paused
    pool = _find_pool_makers(library)[0](ctypes.addressof(params))
    if not pool:
        raise MemoryError("ggml made no pool of threads")
    return pool


_POOLED = {}  # functions that take the pools from the contexts that have some, by the contexts' addresses


def _attach_pools(library, context, poll, cpus):
    """Give a context pools for single tokens and for batches, as llama.cpp's tools do; return what frees them."""
    count = [
        _function(library, name, ctypes.c_int32, ctypes.c_void_p)(context)
        for name in ("llama_n_threads", "llama_n_threads_batch")
    ]
    free, owner, pools = _find_pool_makers(library)[1], os.getpid(), []

    def free_pools():
        # A forked process has the pools, but none of their threads, and would wait for them.
        while pools and os.getpid() == owner:
            free(pools.pop())

    try:
        pools.append(_make_pool(library, count[1], poll, cpus, paused=False))
        if count[0] != count[1]:
            # Paused until it is wanted; llama.cpp pauses one whenever it goes over to the other.
            pools.append(_make_pool(library, count[0], poll, cpus, paused=True))
    except BaseException:
        free_pools()
        raise
    attach = _function(library, "llama_attach_threadpool", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    attach(context, pools[-1], pools[0])
    detach = _function(library, "llama_detach_threadpool", None, ctypes.c_void_p)
    _POOLED[context] = lambda: detach(context)
    return free_pools


def _detach_all():
    """Let the contexts of a forked process compute with threads of their own: those of the pools are not there."""
    for detach in list(_POOLED.values()):
        detach()


os.register_at_fork(after_in_child=_detach_all)


class Pin:
    """The CPUs of the thread that opens an engine, which computes with the others; they inherit them from it."""

    def __init__(self, way):
        self.thread = threading.get_native_id()
        self.before = self.now = set()
        if way.cpus:
            self.before = os.sched_getaffinity(0)
            try:
                os.sched_setaffinity(0, way.cpus)
                self.now = os.sched_getaffinity(0)
            except OSError:
                self.now = self.before
                way.not_followed["cpus"] = "none of them is usable here"
                way.cpus = []
            else:
                way.cpus = way.take_cpus(self.now)

    def undo(self):
        """Give the thread back what it had, unless somebody has changed it since."""
        if self.before == self.now or not os.path.isdir("/proc/self/task/%d" % self.thread):
            return
        with contextlib.suppress(OSError):
            if os.sched_getaffinity(self.thread) == self.now:
                os.sched_setaffinity(self.thread, self.before)


# The engine


def open_engine(package, model_path, settings, **overrides):
    """Load a model into a package's own engine, under settings.

    overrides: arguments of the engine, which win over the settings, or settings that are no arguments of it.
    Returns the engine, with `truewheel_settings`: "followed" (values by setting), "not_followed" (reasons by setting),
    "huge_page_bytes" and "huge_page_errors".
    """
    kept = {name: value for name, value in settings.items() if name not in overrides}
    for name in set(overrides) & set(SETTINGS) - _parameters_of(_find_engine(package)):
        kept[name] = overrides.pop(name)
    way = Way(package, kept, given=overrides)
    return _open_under(way, lambda: _construct(way.engine, model_path, dict(way.arguments, **overrides)))


def _construct(engine, model_path, arguments):
    """Make an engine without this machine's own preset, where the package follows one by itself."""
    plain = getattr(engine.__init__, "truewheel_plain", None)
    if plain is None:
        return engine(model_path, **arguments)
    made = engine.__new__(engine)
    plain(made, model_path, **arguments)
    return made


def _open_under(way, make):
    """Make an engine, do around it what is no argument of it, and put on it what was followed."""
    pin = Pin(way)
    try:
        with filled_in(way.bindings, way.fields):
            engine = make()
    except BaseException:
        pin.undo()
        raise
    try:
        huge, errors = _use_huge_pages(way)
        _keep_until_closed(way, engine, pin)
    except BaseException:
        engine.close()
        pin.undo()
        raise
    followed = {name: value for name, value in way.settings.items() if name not in way.not_followed}
    if way.not_followed.get("cpus") and (way.cpus or way.arguments.get("cpus")):
        followed["cpus"] = way.cpus or way.arguments["cpus"]
    engine.truewheel_settings = {
        "followed": followed,
        "not_followed": way.not_followed,
        "huge_page_bytes": huge,
        "huge_page_errors": errors,
    }
    return engine


# The preset that is found


_SAID = set()


def follow(package, construct, engine, given, found):
    """Construct an engine under this machine's preset for its model, or without it where it cannot be followed.

    construct: takes the arguments. given: a person's own, which win. found: where the preset lies, and its purpose.
    """
    path, purpose = found
    named = {name: value for name, value in given.items() if not _says_nothing(name, value)}
    try:
        settings = leave_room(read_preset(path, purpose), named, _parameters_of(_find_engine(package)))
        way = Way(package, settings, given=named)
    except Exception as error:  # noqa: BLE001 -- whatever is wrong with it, the model is to be loaded
        construct(**given)
        _say_once(package, "a preset is passed over: %s" % _in_one_line(error, path))
        return
    if not settings:
        construct(**given)
        return
    try:
        _open_under(way, lambda: construct(**dict(way.arguments, **named)) or engine)
    except Exception as error:  # noqa: BLE001 -- the same
        with contextlib.suppress(Exception):
            engine.close()
        construct(**given)  # what is a person's own fault is raised here
        _say_once(package, "a preset cannot be followed: %s" % _in_one_line(error, path))
        return
    engine.truewheel_settings["preset"] = path
    _say_once(package, "run under the preset %s; TRUEWHEEL_PRESET=off does without" % path)


def _says_nothing(name, value):
    """Return whether an argument leaves a setting to the engine: no number of threads, no CPUs, no patience."""
    if name in {"n_threads", "n_threads_batch"}:
        return not value
    return (name == "cpus" and not value) or (name == "poll" and value is None)


def leave_room(settings, given, parameters):
    """Return the settings that a person's own arguments leave room for.

    parameters: of the engine. One that takes no `cpus` would pin the person's own thread, which nobody asked for.
    """
    out = set(given)
    if "cpus" not in parameters or out & {"n_threads", "n_threads_batch"}:
        out.add("cpus")
    if "cpus" in given:
        out |= {"n_threads", "n_threads_batch"}
    if out & {"n_batch", "n_ubatch"}:
        out |= {"n_batch", "n_ubatch"}
    if "use_extra_bufts" in given:
        out.add("repack")
    if given.get("flash_attn", True) is False and settings.get("type_v", "f16") != "f16":
        out.add("type_v")
    if "type_v" in given and settings.get("flash_attn") == "off":
        out.add("flash_attn")
    return {name: value for name, value in settings.items() if name not in out}


def _in_one_line(error, path):
    text = " ".join(str(error).split()) or type(error).__name__
    return text if str(path) in text else "%s: %s" % (path, text)


def _say_once(package, text):
    line = "%s: %s\n" % (package.__name__, text)
    if line not in _SAID and sys.stderr is not None:
        _SAID.add(line)
        sys.stderr.write(line)


def _use_huge_pages(way):
    if not way.huge_pages:
        return 0, 0
    try:
        size, errors = use_huge_pages()
    except (OSError, AttributeError) as error:
        way.not_followed["huge_pages"] = "this system does not let them be asked for: %s" % error
        return 0, 0
    if not size:
        way.not_followed["huge_pages"] = "no more memory came to lie on them, which needs Linux 6.1 or newer"
    return size, errors


def _keep_until_closed(way, engine, pin):
    """Make the pools, and see to it that they are freed after the context, however that comes to be freed."""
    holder = getattr(engine, "_ctx", None)
    stack = getattr(holder, "_exit_stack", None)
    if not isinstance(stack, contextlib.ExitStack):
        if way.pool:
            way.not_followed["own_pool"] = "this package does not say when it frees its context"
        return
    free_pools = None
    if way.pool:
        try:
            free_pools = _attach_pools(_library_of(way.bindings), holder.ctx, way.poll, way.cpus)
        except (AttributeError, MemoryError) as error:
            way.not_followed["own_pool"] = "this package's llama.cpp has no pool of threads: %s" % error
    # The last that is put there is done first.
    earlier = stack.pop_all()
    stack.callback(pin.undo)
    if free_pools is not None:
        stack.callback(free_pools)
    stack.enter_context(earlier)
    stack.callback(_POOLED.pop, holder.ctx, None)


def _own_package():
    if not __package__:
        raise ImportError("this file lies in no package: call open_engine, and name one")
    return importlib.import_module(__package__)


def load(model_path, preset, **overrides):
    """Load a model into this package's `Llama` under a preset: the path of a TOML file, or settings by name.

    overrides: arguments of `Llama`, which win over the preset.
    """
    return open_engine(_own_package(), model_path, read_preset(preset), **overrides)


def arguments(settings):
    """Return the keyword arguments of this package's `Llama` for settings, and what `load` cannot follow, in words.

    What `load` does besides (repack, own_pool, poll, cpus and huge_pages in llama_cpp) is no argument.
    """
    way = Way(_own_package(), settings)
    return way.arguments, list_words(way.not_followed)


def list_words(not_followed):
    """Return what is not followed as sentences."""
    return ["%s: %s" % row for row in not_followed.items()]


def main():
    """Print what a preset comes to in this package."""
    named = sys.argv[1:]
    if len(named) != 1 or named[0].startswith("-"):
        sys.exit("usage: python -m %s.truewheel_preset PRESET" % (__package__ or "PACKAGE"))
    try:
        way = Way(_own_package(), read_preset(named[0]))
    except (ImportError, OSError, ValueError) as error:
        sys.exit(str(error))
    said = ["%s=%r" % row for row in way.arguments.items()]
    print("%s gets: %s" % (way.engine.__name__, ", ".join(said) or "nothing"))
    for kind, values in way.fields.items():
        if values:
            print("llama_%s_params gets: %s" % (kind, ", ".join("%s=%r" % row for row in values.items())))
    for name in ("own_pool", "poll", "cpus", "huge_pages"):
        inherent = name in way.arguments or (name == "own_pool" and not way.pool)
        if name in way.settings and name not in way.not_followed and not inherent:
            print("by load() itself: %s=%r" % (name, way.settings[name]))
    for sentence in list_words(way.not_followed):
        print("not followed: %s" % sentence)


if __name__ == "__main__":
    main()
