"""Benchmarks and tunings for tests: made-up figures of a made-up machine, with all that a page must be able to show."""

from truewheel.measure.result import (
    SCHEMA,
    Benchmark,
    Cost,
    Figure,
    Floor,
    Interval,
    Limits,
    Machine,
    ModelFacts,
    Subject,
    Trial,
    Tuning,
)

MIB = 1 << 20
NO_LEVEL = "the engine's Python API gives no low level"
LOST = "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory"


def spread(median, width=0.02):
    """Return an interval of a relative half width."""
    return Interval(median, median * (1 - width), median * (1 + width))


def make_figure(key, median=None, ratio=None, verdict="", **changes):
    """Return a figure; without a median it was not measured."""
    unit = "bytes" if key in ("wheel", "installed", "peak") else "tokens/s"
    unit = "s" if key in ("load", "import", "answer-first") else unit
    width = 0.0 if key in ("wheel", "installed") else 0.02
    return Figure(
        key=key,
        unit=unit,
        value=None if median is None else spread(median, width),
        ratio=None if ratio is None else spread(ratio, width),
        verdict=verdict,
        **changes,
    )


def make_limits(threads=2, **changes):
    """Return what the made-up machine does at most."""
    values = {
        "read": 9e9 * threads,
        "int8": 1.1e12 * threads,
        "int8_kernel": "amx",
        "f32": 1.3e11 * threads,
        "f32_kernel": "avx512",
        "others": {"avx512_vnni": 4.2e11 * threads, "avx2": 1.6e11 * threads},
    }
    return Limits(threads=threads, **{**values, **changes})


def make_model(**changes):
    """Return a small quantized model."""
    values = {
        "name": "smollm2-135m",
        "architecture": "llama",
        "quantization": "Q4_1",
        "parameters": 134_515_008,
        "size": 98_600_000,
        "synthetic": False,
        "cost": Cost(weights=90_000_000, cache=23_040, operations=270_000_000, attention=69_120, integer=True),
    }
    return ModelFacts(**{**values, **changes})


def make_machine(**changes):
    """Return a quiet machine that does not exist."""
    values = {
        "cpu": "Imagined CPU 3000",
        "level": "x86-64-v4",
        "cores": 2,
        "system": "Linux 6.1, glibc 2.36",
        "huge_pages": "madvise",
        "load_before": 0.12,
        "load_after": 1.9,
        "steal": 0.004,
    }
    return Machine(**{**values, **changes})


def make_reference():
    """Return the subject that the others are compared with: every metric, none with a ratio."""
    return Subject(
        label="native",
        asked="wheelhouse/llama_cpp_python-0.3.16.whl@cores",
        engine="llama_cpp",
        version="0.3.16",
        settings={"n_threads": 2, "flash_attn": "on", "repack": True, "cpus": [0, 1]},
        took={"n_threads": 2, "backend": "native", "poll": None},
        notes=("the chat template of the model is not used",),
        text=" The river is 120 km long.",
        figures=(
            make_figure("pp128", 1480.0, share=0.36, limit="int8"),
            make_figure("pp512", 1612.0, share=0.398, limit="int8"),
            make_figure("tg64", 121.4, share=0.613, limit="read"),
            make_figure("tg64@512", 110.9, share=0.63, limit="read"),
            make_figure("tg64@2048", 84.2, share=0.66, limit="read"),
            make_figure("answer-prefill", 1433.0, share=0.35, limit="int8"),
            make_figure("answer-decode", 99.2, share=0.56, limit="read"),
            make_figure("answer-first", 0.214),
            make_figure("load", 0.311),
            make_figure("import", 0.184),
            make_figure("peak", 341 * MIB),
            make_figure("wheel", 4.4 * MIB),
            make_figure("installed", 12.9 * MIB),
        ),
    )


def make_other():
    """Return a subject that is better in prefill, and as good in the rest."""
    inside = "none: inside the noise floor of 0.8%"
    return Subject(
        label="portable",
        asked="wheelhouse/llama_cpp_python-0.3.16-dispatch.whl",
        engine="llama_cpp",
        version="0.3.16",
        figures=(
            make_figure("pp128", 1690.0, 1.142, "faster", share=0.41, limit="int8"),
            make_figure("pp512", 1830.0, 1.135, "faster", share=0.452, limit="int8"),
            make_figure("tg64", 121.9, 1.004, inside, share=0.616, limit="read"),
            make_figure("tg64@512", 111.2, 1.003, inside, share=0.631, limit="read"),
            make_figure("tg64@2048", 84.0, 0.998, inside, share=0.659, limit="read"),
            make_figure("answer-prefill", 1601.0, 1.117, "faster", share=0.39, limit="int8"),
            make_figure("answer-decode", 99.0, 0.998, inside, share=0.559, limit="read"),
            make_figure("answer-first", 0.192, 1.115, "faster"),
            make_figure("load", 0.309, 1.006, inside),
            make_figure("import", 0.186, 0.989, inside),
            make_figure("peak", 352 * MIB, 0.969, "larger"),
            make_figure("wheel", 9.8 * MIB, 0.449, "larger"),
            make_figure("installed", 31.0 * MIB, 0.416, "larger"),
        ),
    )


def make_peer():
    """Return a package of the index without a low level: it can only answer."""
    return Subject(
        label="xllamacpp 2026.10.1",
        asked="pypi:xllamacpp==2026.10.1",
        engine="xllamacpp",
        version="2026.10.1",
        notes=("counts its own tokens", "puts its chat template around the prompt"),
        text="The river flows.",
        peer=True,
        figures=(
            *(make_figure(key, reason=NO_LEVEL) for key in ("pp128", "pp512", "tg64", "tg64@512", "tg64@2048")),
            make_figure("answer-prefill", 811.0, 0.566, "slower", share=0.19, limit="int8"),
            make_figure("answer-decode", 88.4, 0.891, "slower", share=0.5, limit="read"),
            make_figure("answer-first", 0.402, 0.532, "slower"),
            make_figure("load", 0.502, 0.62, "slower"),
            make_figure("import", 0.061, 3.016, "faster"),
            make_figure("peak", 611 * MIB, 0.558, "larger"),
            make_figure("wheel", 22.1 * MIB, 0.199, "larger"),
            make_figure("installed", 61.2 * MIB, 0.211, "larger"),
        ),
    )


def make_failed():
    """Return a subject of which only the size could be measured."""
    return Subject(
        label="broken 1.0",
        asked="pypi:broken==1.0",
        engine="llama_cpp",
        version="1.0",
        failure=LOST,
        peer=True,
        figures=(make_figure("pp512", reason=LOST), make_figure("wheel", 1.1 * MIB, 4.0, "smaller")),
    )


def make_floor(key, floor=0.008, *, quiet=True):
    """Return the noise floor of a metric."""
    return Floor(key=key, ratio=Interval(1 + floor / 4, 1 - floor / 2, 1 + floor), floor=floor, quiet=quiet)


def make_benchmark(**changes):
    """Return a benchmark of four subjects, one of them failed, one without a low level."""
    keys = ("pp128", "pp512", "tg64", "tg64@512", "tg64@2048", "answer-prefill", "answer-decode", "load", "peak")
    values = {
        "when": "2031-05-06T07:08:09+00:00",
        "machine": make_machine(),
        "model": make_model(),
        "limits": (make_limits(1), make_limits(2)),
        "rounds": 5,
        "floors": tuple(make_floor(key) for key in keys),
        "worst_floor": 0.03,
        "reference": "native",
        "subjects": (make_reference(), make_other(), make_peer(), make_failed()),
        "repeated": 3,
    }
    return Benchmark(schema=SCHEMA, **{**values, **changes})


def make_trial(number, score, rung=1, dropped="worse half", **settings):
    """Return a trial; one without a score did not run."""
    ran = score > 0
    return Trial(
        number=number,
        settings=settings,
        rung=rung,
        prefill=1600.0 * score if ran else 0.0,
        decode=110.0 * score if ran else 0.0,
        first=0.3 / score if ran else 0.0,
        peak=341 * MIB if ran else 0,
        score=score,
        dropped=dropped,
    )


def make_tuning(**changes):
    """Return a tuning of twelve trials with a final comparison."""
    scores = (1.0, 1.02, 0.71, 0.93, 1.11, 0.0, 1.06, 0.88, 1.17, 1.09, 1.13, 0.97)
    rungs = (3, 1, 1, 1, 2, 1, 2, 1, 3, 2, 3, 1)
    trials = [
        make_trial(
            number,
            score,
            rung,
            "" if rung == 3 else "killed by SIGKILL" if not score else "worse half",
            **({"n_ubatch": 64 * number, "flash_attn": "on", "own_pool": True} if number > 1 else {}),
        )
        for number, (score, rung) in enumerate(zip(scores, rungs, strict=True), 1)
    ]
    subjects = tuple(
        Subject(label=label, asked=label, engine="llama_cpp", figures=figures)
        for label, figures in (
            ("defaults", (make_figure("pp512", 1600.0), make_figure("tg64", 104.0))),
            ("winner", (make_figure("pp512", 1640.0, 1.025, "faster"), make_figure("tg64", 121.0, 1.163, "faster"))),
            ("runner-up", (make_figure("pp512", 1630.0, 1.018, "faster"), make_figure("tg64", 117.0, 1.125, "faster"))),
        )
    )
    final = make_benchmark(
        reference="defaults", subjects=subjects, floors=(make_floor("pp512"), make_floor("tg64", 0.021))
    )
    values = {
        "when": "2031-05-06T07:08:09+00:00",
        "goal": "decode",
        "machine": make_machine(),
        "model": make_model(),
        "engine": "llama-cpp-python 0.3.16",
        "seconds": 287.0,
        "budget": 300.0,
        "trials": tuple(trials),
        "winner": 9,
        "runner_up": 11,
        "final": final,
        "divergence": 0.00012,
    }
    return Tuning(schema=SCHEMA, **{**values, **changes})
