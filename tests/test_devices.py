"""A batch shared by several devices, and by several hosts, trains the same model as one device does."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

# run by each process: devices, where to write parameters, and for several hosts address, number, and which this is
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


def finish(folder, processes):
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output


def same(folder, one, other):
    with np.load(folder / f"{one}.npz") as a, np.load(folder / f"{other}.npz") as b:
        assert a.files == b.files and len(a.files) > 10
        for name in set(a.files) - {"decoder_c_tt"}:  # by which the gradient is 0 but for rounding
            np.testing.assert_allclose(a[name], b[name], rtol=1e-5, atol=1e-8, err_msg=name)
        assert a["costs"][-1] < a["costs"][0]


@pytest.mark.parametrize("attention", ["location", "mlp"])
def test_four_devices_equal_one(tmp_path, attention):
    finish(tmp_path, [start(tmp_path, attention, "one", 1, 1), start(tmp_path, attention, "four", 4, 4)])
    same(tmp_path, "one", "four")


def test_two_hosts_equal_one(tmp_path):
    with socket.socket() as s:
        s.bind(("localhost", 0))
        address = f"localhost:{s.getsockname()[1]}"
    processes = [start(tmp_path, "location", f"host{k}", 4, 2, address, 2, k) for k in (0, 1)]
    finish(tmp_path, [start(tmp_path, "location", "one", 1, 1), *processes])
    same(tmp_path, "one", "host0")
    same(tmp_path, "one", "host1")
