"""The CMake part of a plan: definitions in the engine's dialect, flags of compilers and linker."""

from __future__ import annotations

from truewheel.config.dialects import dialects
from truewheel.config.hardening import hardening
from truewheel.config.tables import CrateLibraries, Profile, Recipe
from truewheel.cpu.features import engine_options
from truewheel.machine.probe import Toolchain
from truewheel.plan.placeholders import BUILD_PLACEHOLDER, NOTE_PLACEHOLDER, SOURCE_PLACEHOLDER
from truewheel.plan.plan import CMakeSettings, Code
from truewheel.targets.targets import Target


def plan_cmake(recipe: Recipe, profile: Profile, toolchain: Toolchain, code: Code, target: Target) -> CMakeSettings:
    """Return what the engine's CMake is given.

    Args:
        recipe: what is built.
        profile: how.
        toolchain: by what.
        code: which CPUs it is for.
        target: the platform.
    """
    return CMakeSettings(
        defines=_defines(recipe, profile, code),
        # zig writes debug sections unless it is told not to: a fifth more time, objects five times as large.
        c_flags=(
            "-g0",
            f"-ffile-prefix-map={SOURCE_PLACEHOLDER}=.",
            f"-ffile-prefix-map={BUILD_PLACEHOLDER}=.",
            *hardening().compile,
            *profile.flags,
        ),
        link_flags=("-s", *hardening().link_flags(toolchain.kind), *_note_flags(toolchain, code.level, target)),
    )


def _note_flags(toolchain: Toolchain, level: str, target: Target) -> tuple[str, ...]:
    """Return what makes the linker mark a library with the level that it needs."""
    if target.note is None or level == target.levels[0]:
        return ()
    return (target.note.flag.replace("{level}", level),) if toolchain.isa_note == "linker" else (NOTE_PLACEHOLDER,)


def cmake_value(value: bool | int | str) -> str:
    """Spell a definition's value as CMake does."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return str(value)


def _defines(recipe: Recipe, profile: Profile, code: Code) -> dict[str, str]:
    """Merge the recipe's definitions, those of its dialect, and the profile's, each given explicitly."""
    dialect = dialects()[recipe.build.isa]
    asked = {"native": code.native, "openmp": profile.openmp, "lto": profile.lto}
    words = {name: cmake_value(value) for name, value in asked.items()}
    defines = {key: cmake_value(value) for key, value in recipe.build.define.items()}
    defines |= {key: value.format(**words) for key, value in dialect.define.items()}
    if dialect.options:
        options = engine_options(() if profile.dispatch else code.features)
        defines |= {option: cmake_value(on) for option, on in options.items()}
    if profile.lto:
        defines |= dialect.lto
    for name, commit in recipe.build.commit.items():
        told = dialect.commit.get(name, {})
        defines |= {key: value.replace("{commit}", commit[:9]) for key, value in told.items()}
    if recipe.backends is not None:
        names = ";".join(backend.name for backend in code.backends)
        chosen = recipe.backends.several if profile.dispatch else recipe.backends.single
        defines |= {key: cmake_value(value).replace("{names}", names) for key, value in chosen.items()}
    defines |= {key: cmake_value(value) for key, value in profile.define.items()}
    if not isinstance(recipe.libraries, CrateLibraries):
        defines["CMAKE_INSTALL_RPATH"] = "$ORIGIN"
    defines["CMAKE_EXPORT_COMPILE_COMMANDS"] = "ON"
    return dict(sorted(defines.items()))
