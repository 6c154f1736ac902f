"""The player: the page, the numbers in it, and the model that it computes under a glimpse by hand."""

import base64
import dataclasses
import json
import re
import shutil
import time
import zlib

import numpy as np
import pytest
from test_figures import SWITCHES, TINY, data, make_run  # noqa: F401  (data is a fixture)

from visual_attention.experiment.data import load_coverage
from visual_attention.experiment.evaluation import watch, windows_of
from visual_attention.experiment.parameters import trained_model
from visual_attention.options import TITLES, recipe
from visual_attention.presentation import player
from visual_attention.presentation.figures import given_glimpse
from visual_attention.presentation.figures import player as figure
from visual_attention.presentation.finished_runs import Choices, Runs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NAMES = ("attention_mlp_lambda0", "attention_lambda0", "average_pooled_lstm", "attention_lambda1")


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):  # noqa: F811
    """Runs of four models. They were not trained, but their weights are so large that glimpses matter."""
    folder = tmp_path_factory.mktemp("runs") / "embedded"
    for name in sorted(NAMES):  # those of the same graph one after another
        make_run(folder / name / "seed0", data, recipe("paper", "embedded", name, **TINY), scale=3)
    return Runs(folder, Choices(model="attention_mlp_lambda0", video=("jack/test_000",)))


@pytest.fixture(scope="module")
def page(runs):
    """player.html of the four models."""
    (link,) = figure.draw(runs, runs.folder / "figures")
    assert link.link == "player.html" and "8 test videos" in link.caption
    return runs.folder / "player.html"


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium was not found; Debian: apt install chromium")
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()
    playwright.stop()


def opened(browser, path, width=1280, height=900, **how):
    """The page in the browser, with `messages`: its errors, what its console says, and what it requests."""
    tab = browser.new_context(viewport={"width": width, "height": height}, **how).new_page()
    tab.messages = []
    tab.on("console", lambda message: tab.messages.append(message.text))
    tab.on("pageerror", lambda error: tab.messages.append(str(error)))
    tab.on("request", lambda request: tab.messages.append(request.url))
    tab.goto(path.as_uri())
    tab.wait_for_selector(".panel")
    tab.messages = [text for text in tab.messages if not text.startswith("data:") and text != path.as_uri()]
    return tab


@pytest.fixture(scope="module")
def tab(browser, page):
    return opened(browser, page)


def wait(tab, condition, seconds=10):
    """Waits for a condition, in JavaScript. Playwright's own way needs eval, which the page does not permit."""
    end = time.monotonic() + seconds
    while not tab.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.01)


def choose(tab, video, models=(0, 1)):
    """Shows a video, by its place on the page, and models, with their own glimpses."""
    tab.uncheck("#by-hand")
    tab.select_option("#video", str(video))
    for k in range(tab.locator("#models input").count()):
        if k not in models:
            tab.evaluate(f"document.querySelectorAll('#models input')[{k}].checked = false")
    for k in models:
        tab.evaluate(f"document.querySelectorAll('#models input')[{k}].checked = true")
    tab.evaluate("showPanels()")
    wait(tab, f"video.number === {video}")


def json_of(path):
    return json.loads(re.search(r'<script type="application/json" id="page">(.*?)</script>', path.read_text())[1])


def unpacked(packed):
    inflated = zlib.decompress(base64.b64decode(packed["deflated"]))
    return np.frombuffer(inflated, np.dtype(packed["dtype"]).newbyteorder("<")).reshape(packed["shape"])


# ---------------------------------------------------------------- what is on the page


def test_numbers_on_the_page_are_the_models(runs, page):
    values = json_of(page)
    assert [model["title"] for model in values["models"]] == [TITLES[name] for name in NAMES]
    names = [about["name"] for about in values["videos"]]
    assert names[0] == "jack/test_000" and sorted(names) == sorted(runs.data.lists.filenames)
    for about in values["videos"]:
        k = runs.data.lists.filenames.index(about["name"])
        assert about["true"] == [runs.data.labels[k]] and about["picture"].startswith("data:image/webp;base64,")
        for name, shown in zip(NAMES, about["models"], strict=True):
            np.testing.assert_allclose(shown["probs"], runs.probs[runs.run(name)][k], atol=1e-5)
    assert values["videos"][0]["models"][2]["alpha"] is None  # of average pooling
    shown = values["videos"][0]["models"][0]
    k = runs.data.lists.filenames.index("jack/test_000")
    watched = watch(runs.load_model(runs.run(NAMES[0])), runs.data, k)  # not together with other videos, as on the page
    np.testing.assert_allclose(unpacked(shown["steps"]), watched.steps, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(unpacked(shown["alpha"]), watched.alpha, rtol=2e-3, atol=1e-6)
    assert values["videos"][0]["rows"] == watched.rows.tolist()
    first, index = runs.data.starts[k], runs.data.index
    for row, (window, step) in zip(watched.rows, values["videos"][0]["places"], strict=True):
        assert index[step, windows_of(runs.data, k)[window]] - first == row
        assert values["videos"][0]["windows"][window][step] == row
    coverage = load_coverage(runs.data)[first + watched.rows]
    np.testing.assert_allclose(unpacked(values["videos"][0]["coverage"]), coverage, atol=1e-3)


def test_choice_of_videos(runs):
    class Part:
        lists, labels = runs.data.lists, np.zeros(40, int)

    def right_of(n_right, **chosen):
        probs = np.eye(2)[(np.arange(40) >= n_right).astype(int)]
        videos = player.choose_videos(probs, Part, **chosen)
        assert len(set(videos)) == len(videos) == 12
        return sum(k < n_right for k in videos)

    assert [right_of(n) for n in (0, 3, 20, 38, 40)] == [0, 3, 6, 10, 12]
    assert player.choose_videos(np.eye(2)[np.zeros(40, int)], Part, [7, 5])[:2] == [7, 5]
    assert right_of(20, chosen=[25, 26]) == 5


def test_large_models_have_no_glimpse_by_hand(runs, monkeypatch):
    model = runs.load_model(runs.run(NAMES[0]))
    weights = player.given_params(model)
    assert player.reason_against_hand(model.options, weights, 100) == ""
    assert "the cubes take 62.7 MB, limit 8 MB" in player.reason_against_hand(model.options, weights, 10_000)
    monkeypatch.setattr(player, "MOST_WEIGHTS", 1000)
    values = player.page("", {NAMES[0]: model}, runs.data, [0], lambda k: None)
    assert "MB, limit 0.001 MB" in values["models"][0]["reason"]
    assert values["models"][0]["params"] is values["videos"][0]["cubes"] is values["videos"][0]["picture"] is None


def test_what_a_list_says_stays_text(runs, browser, tmp_path):
    """Names in lists come from others. None of them becomes markup or script."""
    evil = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    names, classes = list(runs.data.lists.filenames), tmp_path / "class_names.txt"
    classes.write_text("\n".join(f"{evil}{k}" for k in range(8)) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.data, "lists", dataclasses.replace(runs.data.lists, filenames=[evil + n for n in names]))
        patch.setattr(player, "read_class_names", lambda folder, n: classes.read_text().splitlines())
        models = {NAMES[0]: runs.load_model(runs.run(NAMES[0]))}
        player.make_player(tmp_path / "player.html", evil, models, runs.data, [0, 1], lambda k: None)
    text = (tmp_path / "player.html").read_text()
    assert text.count("<script") == 3 and "<img" not in text
    tab = opened(browser, tmp_path / "player.html")
    assert tab.title() == f"Visual attention player: {evil}" and not tab.messages
    assert evil in tab.inner_text("#video option:first-child") and evil in tab.inner_text(".verdict.own")
    assert tab.locator("img").count() == 0 and evil in tab.inner_text(".legend li:first-child")


# ---------------------------------------------------------------- the page in a browser


def test_page_loads_alone(tab):
    assert tab.messages == []
    assert tab.locator(".panel").count() == 2 and tab.locator("#video option").count() == 8
    # the picture is not black, and the curves are drawn
    for canvas in (".stage canvas", ".curves"):
        drawn = f"""(() => {{
            const c = document.querySelector('{canvas}');
            const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            return data.reduce((most, value, k) => k % 4 < 3 ? Math.max(most, value) : most, 0);
        }})()"""
        assert tab.evaluate(drawn) > 100
    unnamed = """[...document.querySelectorAll('input, select, button, [role=img], [role=slider]')].filter(e =>
        !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim()).length"""
    assert tab.evaluate(unnamed) == 0


def picture(tab, panel=0):
    return tab.evaluate(f"document.querySelectorAll('.stage canvas')[{panel}].toDataURL()")


def test_slider_moves_frame_and_cursor(tab):
    choose(tab, 0)
    before = picture(tab)
    tab.fill("#frame", "4")
    assert picture(tab) != before and tab.inner_text("#place").startswith("5 / ")
    assert [tab.locator(".curves").nth(k).get_attribute("data-cursor") for k in (0, 1)] == ["4", "4"]
    shown = tab.locator(".legend output").first.inner_text()
    assert shown == tab.evaluate("percent(panels[0].steps[4][panels[0].classes[0]])")
    share = tab.evaluate("video.coverage[4].reduce((s, c, i) => s + c * panels[0].alpha[4][i], 0)")
    assert f"attention on the figure {100 * share:.0f}\u00a0%" in tab.inner_text(".share")
    tab.check("input[value=heat]")
    hot = picture(tab)
    tab.check("input[value=off]")
    assert len({hot, picture(tab), before}) == 3
    tab.check("input[value=light]")


def test_keys(tab):
    choose(tab, 0)
    tab.evaluate("document.activeElement.blur()")
    for key, t in (("ArrowRight", "1"), ("ArrowRight", "2"), ("ArrowLeft", "1")):
        tab.keyboard.press(key)
        assert tab.input_value("#frame") == t
    tab.keyboard.press("Space")
    assert tab.inner_text("#play") == "Pause"
    wait(tab, "Number(document.getElementById('frame').value) > 2")
    tab.keyboard.press("Space")
    assert tab.inner_text("#play") == "Play"


def test_one_to_three_models_can_be_shown(tab):
    choose(tab, 0)
    tab.locator("#models input").nth(2).check()
    assert tab.locator(".panel").count() == 3 and tab.locator("#models input").nth(3).is_disabled()
    assert not tab.locator(".share").nth(2).is_visible()  # it has no glimpse
    for k in (0, 1):
        tab.locator("#models input").nth(k).uncheck()
    assert tab.locator(".panel").count() == 1 and tab.locator("#models input").nth(2).is_disabled()


@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_a_phone(browser, page, width):
    tab = opened(browser, page, width, 800)
    for models in ((0, 1), (0, 1, 2)):
        choose(tab, 1, models)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.context.close()


# ---------------------------------------------------------------- a glimpse by hand

IN_PAGE = """async ([k, number, row, column, width]) => {
    const about = PAGE.videos[k], cubes = await unpack(about.cubes);
    const model = models[number], states = initialStates(model, cubes, about.windows);
    const seen = seenFrames(model, cubes, spotlight(row, column, width, PAGE.sides[0]));
    const steps = about.windows.map((frames, w) => windowSteps(model, seen, frames, states[w]));
    const probs = videoProbabilities(model.options, steps);
    return { probs: [...probs], steps: steps.map((window) => window.map((probs) => [...probs])) };
}"""


class Given:
    """The graph under given glimpses, for the cubes that are on the page: those of the data in half precision."""

    def __init__(self, run, part):
        part.memory[...] = part.memory.astype("float16")
        self.model, self.part = given_glimpse.model_given_glimpses(run), part

    def probs(self, k, text):
        """Class probabilities at all steps (n, T, C), and those of the video (C,)."""
        glimpse, options = given_glimpse.parse_glimpse(text, 49), self.model.options
        windows = windows_of(self.part, k)
        steps = [
            self.model.predict(batch, glimpse)[0][:, : len(batch.windows)]
            for batch in self.part.batches(windows, options.batch_size)
        ]
        (video,) = given_glimpse.video_probabilities(self.model, options, self.part, k, [glimpse])
        return np.concatenate(steps, axis=1).swapaxes(0, 1), video


@pytest.fixture(scope="module")
def given(runs):
    return {name: Given(runs.run(name), runs.load_data()) for name in NAMES[:2]}


def agrees(tab, given, number, names, videos):
    for k in videos:
        video = given.part.lists.filenames.index(names[k])
        for place in ((3, 3, 2), (0.5, 5.25, 0.7), (6, 0, 6)):
            steps, probs = given.probs(video, ",".join(map(str, place)))
            computed = tab.evaluate(IN_PAGE, [k, number, *place])
            np.testing.assert_allclose(computed["steps"], steps, atol=1e-5)
            np.testing.assert_allclose(computed["probs"], probs, atol=1e-5)
            assert steps.std(axis=1).max() > 1e-4


def test_the_page_computes_what_the_graph_does(tab, page, given):
    names = [about["name"] for about in json_of(page)["videos"]]
    for number, name in enumerate(given):
        agrees(tab, given[name], number, names, range(len(names)))


def test_the_page_follows_all_options(browser, data, tmp_path):  # noqa: F811
    """The released program's dropout, votes, gate and further layers."""
    changes = {"attention": "mlp", "init": "glorot", "last_n": 3} | SWITCHES["released"]
    options = recipe(changes.pop("recipe_name"), "embedded", **TINY | changes | {"n_layers_lstm": 1})
    run, part = make_run(tmp_path / "run", data, options, tested=False)
    model = trained_model(run, part.table.dtype)
    player.make_player(tmp_path / "player.html", "", {NAMES[0]: model}, part, [2], lambda k: None)
    tab = opened(browser, tmp_path / "player.html")
    agrees(tab, Given(run, part), 0, [part.lists.filenames[2]], [0])


def test_a_dragged_spotlight_changes_the_class_where_the_graph_says_so(tab, page, runs, given):
    names, graph = [about["name"] for about in json_of(page)["videos"]], given[NAMES[0]]
    classes = {}
    for k, name in enumerate(names):
        video = graph.part.lists.filenames.index(name)
        for row, column in ((1, 1), (1, 5), (5, 1), (5, 5), (3, 3)):
            probs = graph.probs(video, f"{row},{column},2")[1]
            if np.subtract(*np.sort(probs)[:-3:-1]) > 1e-3:  # no tie
                classes.setdefault(k, {})[row, column] = int(probs.argmax())
    k = max(classes, key=lambda k: len(set(classes[k].values())))
    assert len(set(classes[k].values())) > 1
    choose(tab, k)
    own = tab.inner_text(".verdict.own")
    assert not tab.locator(".spot").first.is_visible()
    tab.check("#by-hand")
    box = tab.locator(".stage").first.bounding_box()
    names_of_classes = json_of(page)["classes"]
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    for (row, column), predicted in classes[k].items():
        x, y = (box[start] + (place + 0.5) / 7 * box["width"] for start, place in (("x", column), ("y", row)))
        tab.mouse.move(x, y, steps=3)
        wait(tab, f"Math.hypot(state.spot.row - {row}, state.spot.column - {column}) < 0.02")
        wait(tab, "!waiting && state.complete")
        assert f" {names_of_classes[predicted]} (" in tab.locator(".verdict.given").first.inner_text()
    tab.mouse.up()
    assert own in tab.locator(".verdict.own").first.inner_text()  # the model's own class stays beside it
    before = tab.evaluate("({...state.spot})")
    for key in ("ArrowUp", "ArrowLeft", "+"):
        tab.keyboard.press(key)
    after = tab.evaluate("({...state.spot})")
    assert [round(after[name] - before[name], 3) for name in ("row", "column", "width")] == [-0.25, -0.25, 0.25]
    assert tab.input_value("#frame") == "0"  # the same keys step through frames elsewhere
    tab.uncheck("#by-hand")
    assert not tab.locator(".verdict.given").first.is_visible()


def test_a_finger_moves_the_spotlight(browser, page):
    tab = opened(browser, page, 390, 800, has_touch=True)
    tab.check("#by-hand")
    tab.locator(".stage").first.scroll_into_view_if_needed()
    box = tab.locator(".stage").first.bounding_box()
    tab.touchscreen.tap(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.25)
    wait(tab, "Math.abs(state.spot.column - 4.75) < 0.1 && Math.abs(state.spot.row - 1.25) < 0.1")
    tab.context.close()
