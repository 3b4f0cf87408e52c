"""What every unit test stands on: no cache, wheelhouse or colour of the person who runs it, and steady examples."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("truewheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEWHEEL_CACHE_DIR", str(root / "cache"))
        patch.setenv("TRUEWHEEL_WHEELHOUSE", str(root / "wheelhouse"))
        patch.delenv("GITHUB_ACTIONS", raising=False)
        yield
