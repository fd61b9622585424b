"""What ``--cluster`` may name: no way out of this machine that is not encrypted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_ai.app import RunOptions
from wsi_ai.errors import InputError
from wsi_ai.run.cluster.address import Factory, LocalWorkers, Scheduler, cluster_address
from wsi_ai.run.on_devices import devices_of


def test_a_cluster_is_named_by_scheduler_number_or_factory() -> None:
    assert cluster_address("local:3") == LocalWorkers(3)
    assert cluster_address("tls://gpu1:8786") == Scheduler("tls://gpu1:8786", encrypted=True)
    assert cluster_address("site.slurm:make") == Factory("site.slurm", "make")
    for here in ("tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786"):
        assert cluster_address(here) == Scheduler(here, encrypted=False)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_open_address_that_is_not_this_machine_is_refused(address: object, port: int) -> None:
    host = f"[{address}]" if ":" in str(address) else str(address)
    url = f"tcp://{host}:{port}"
    if getattr(address, "is_loopback", False):
        assert cluster_address(url) == Scheduler(url, encrypted=False)
        return
    with pytest.raises(InputError, match=r"without TLS.*tls://"):
        cluster_address(url)


@pytest.mark.parametrize(
    "text",
    [
        "tcp://gpu1:8786", "tcp://127.0.0.1.evil.example:8786", "tcp://localhost.:1",
        "tcp://user@10.0.0.1:1", "tcp://2130706433:1",
        "ucx://127.0.0.1:1", "ws://127.0.0.1:1", "inproc://127.0.0.1/1/1", "http://127.0.0.1:1",
        "tls://gpu1", "tls://:8786", "tls://gpu1:port", "TCP://10.0.0.1:1", "tls:8786",
        "gpu1:8786", "local:0", "local:257", "local:-1", "local:", "local:2x", "10.0.0.1:8786",
        "site.slurm", "site slurm:make", "a:b:c", "os:system()", " ", "://",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(InputError, match=r"^--cluster .*(tls://|workers)"):
        cluster_address(text)


def test_a_worker_has_one_device() -> None:
    assert devices_of(RunOptions(cluster="local:2", device="cuda")) == ["local:2"]
    with pytest.raises(InputError, match="each worker has one device"):
        devices_of(RunOptions(cluster="local:2", device="cuda:0,cuda:1"))
