"""Cells on worker processes, and on a Dask cluster whose worker is killed, give the same runs as in one process."""

import os
import signal
import threading
import time
from functools import partial

import pytest
from test_training import assert_same_run, data_folder  # noqa: F401  (a fixture)

from visual_attention.experiment import budget
from visual_attention.experiment.cells import Cell, check_needs, run_cells
from visual_attention.options import Options

TINY = Options(pooling="mean", maxlen=4, dim=6, dim_out=5, n_layers_lstm=1, batch_size=4, max_epochs=3, lrate=0.01,
               ctx_dim=5, n_locations=9, n_actions=2, checkpoint_seconds=0)  # fmt: skip


def cells(folder, data):
    models = {"mean": TINY, "cube": TINY.replace(pooling="cube")}
    return {
        (name, seed): Cell(options.replace(seed=seed), folder / name / f"seed{seed}", data)
        for name, options in models.items()
        for seed in (0, 1)
    }


@pytest.fixture(scope="module")
def one_process(data_folder, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("one")
    return folder, run_cells(cells(folder, data_folder), workers=1)


def kill_when_training(folder, pid, killed):
    """Kills a process once a run has written to its log."""
    while not any(path.stat().st_size for path in folder.glob("*/*/log.jsonl")):
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    killed.append(pid)


def without_times(results):
    times = ("training_seconds", "test_seconds")
    return {name: {k: v for k, v in result.items() if k not in times} for name, result in results.items()}


def test_cluster_gives_the_same_runs_if_a_worker_is_killed(data_folder, tmp_path, one_process):  # noqa: F811
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install .[cluster]")
    folder, expected = one_process
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
        killed = []
        victim = next(iter(cluster.workers.values())).pid
        killer = threading.Thread(target=kill_when_training, args=(tmp_path, victim, killed), daemon=True)
        killer.start()
        results = run_cells(cells(tmp_path, data_folder), cluster=cluster.scheduler_address)
        killer.join(10)
    assert killed == [victim]
    assert without_times(results) == without_times(expected)
    for name, seed in results:
        assert_same_run(tmp_path / name / f"seed{seed}", folder / name / f"seed{seed}")


def test_finished_cells_are_not_trained_again(data_folder, one_process):  # noqa: F811
    folder, expected = one_process
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/model.npz")}
    assert run_cells(cells(folder, data_folder), workers=2) == expected and len(before) == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before


def killed_once(marker):
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 1e9, False


def test_speed_is_measured_again_if_the_process_that_does_it_is_killed(data_folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(budget, "matmul_rate", partial(killed_once, tmp_path / "killed"))
    assert check_needs(tmp_path / "runs", cells(tmp_path, data_folder), workers=2) == 2
    assert (tmp_path / "killed").exists()
