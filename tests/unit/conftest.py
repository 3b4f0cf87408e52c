"""What every unit test stands on: folders of its own, and the same examples on every run."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady", derandomize=True, deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture(autouse=True, scope="module")
def own_folders(tmp_path_factory):
    """Keep caches, wheelhouse and fold groups of whoever runs the tests out of them."""
    root = tmp_path_factory.mktemp("truewheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEWHEEL_CACHE_DIR", str(root / "cache"))
        patch.setenv("TRUEWHEEL_WHEELHOUSE", str(root / "wheelhouse"))
        patch.delenv("GITHUB_ACTIONS", raising=False)
        yield root
