"""A batch divided among several devices, or several hosts, trains the same model as one device."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from test_training import command, data_folder, train  # noqa: F401  (a fixture)

# run by each process; arguments: devices, output path; for several hosts also address, number of hosts, this host
PROGRAM = """
import sys
devices, path, *hosts = sys.argv[1:]
import jax
if hosts:
    jax.distributed.initialize(hosts[0], int(hosts[1]), int(hosts[2]))
import numpy as np
from test_model import TINY, make_batch
from visual_attention.model import Model

options = TINY.replace(batch_size=4, optimizer="adam", lrate=0.01, devices=int(devices), ATTENTION)
model, rng = Model(options, "float64"), np.random.default_rng(0)
batches = [make_batch(options, seed) for seed in range(4)]
costs = [model.update(batches[k % 4], rng) for k in range(20)]
probs, _ = model.predict(batches[0])
np.savez(path, costs=costs, probs=probs, **{name: np.asarray(v.get_value()) for name, v in model.tparams.items()})
"""


def start(folder, attention, name, devices, n_virtual, *hosts):
    flags = f"--xla_force_host_platform_device_count={n_virtual}"
    program = PROGRAM.replace("ATTENTION", f"attention={attention!r}")
    command = [sys.executable, "-c", program, str(devices), str(folder / name), *map(str, hosts)]
    env = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": os.path.dirname(__file__)}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*processes):
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """A folder with what one device computes, a file for each kind of attention."""
    folder = tmp_path_factory.mktemp("one")
    finish(*(start(folder, attention, attention, 1, 1) for attention in ("location", "mlp")))
    return folder


def assert_same(path, other):
    with np.load(f"{path}.npz") as a, np.load(f"{other}.npz") as b:
        assert a.files == b.files and len(a.files) > 10
        for key in set(a.files) - {"decoder_c_tt"}:  # whose gradient is 0 except for rounding
            np.testing.assert_allclose(a[key], b[key], rtol=1e-5, atol=1e-8, err_msg=key)
        assert a["costs"][-1] < a["costs"][0]


@pytest.mark.parametrize("attention", ["location", "mlp"])
def test_four_devices_equal_one(tmp_path, one_device, attention):
    finish(start(tmp_path, attention, "four", 4, 4))
    assert_same(one_device / attention, tmp_path / "four")


def free_address():
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return f"localhost:{s.getsockname()[1]}"


def test_two_hosts_equal_one(tmp_path, one_device):
    address = free_address()
    finish(*(start(tmp_path, "location", f"host{k}", 4, 2, address, 2, k) for k in (0, 1)))
    for k in (0, 1):
        assert_same(one_device / "location", tmp_path / f"host{k}")


def test_run_trained_by_two_hosts_equals_one(data_folder, tmp_path):  # noqa: F811
    """The first host writes the run folder; the model is the same as with one host."""
    hosts = ("--coordinator", free_address(), "--hosts", 2, "--devices", 2)
    commands = [command(data_folder, tmp_path / "two", *hosts, "--host", k) for k in (0, 1)]
    finish(*(subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for c in commands))
    done = train(data_folder, tmp_path / "one")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "one" / "model.npz") as single, np.load(tmp_path / "two" / "model.npz") as shared:
        for name in set(single.files) - {"history_errs"}:
            np.testing.assert_allclose(single[name], shared[name], rtol=1e-3, atol=1e-4, err_msg=name)
    assert (tmp_path / "two" / "result.json").is_file()


def test_wrong_numbers_of_devices_are_refused(data_folder, tmp_path):  # noqa: F811
    done = train(data_folder, tmp_path / "run", "--devices", 4)
    assert done.returncode == 1 and "option devices is 4; expected at most" in done.stderr, done.stderr
    done = train(data_folder, tmp_path / "run", "--devices", 3)
    assert done.returncode != 0 and "option devices is 3; expected a divisor of batch_size" in done.stderr, done.stderr
