"""Surveys of made pictures, and judges who answer them by a rule."""

import json

import numpy as np
from PIL import Image

from runtime.survey import survey
from runtime.survey_key import Key

MODELS = ("zebranet", "yakformer", "xylolight")
SCENES = ("harbour", "chapel", "orchard", "tunnel")


def picture(grey, seed=0, height=24, width=36):
    noise = np.random.default_rng(seed).integers(-20, 20, (height, width, 3))
    return Image.fromarray(np.clip(noise + grey, 0, 255).astype(np.uint8))


def folder(path, *, models=MODELS, scenes=SCENES):
    """A folder of pictures: the later a model stands, the brighter."""
    for m, model in enumerate(models):
        (path / model).mkdir(parents=True, exist_ok=True)
        for s, scene in enumerate(scenes):
            picture(60 + 50 * m, seed=s).save(path / model / f"{scene}.png")
    return path


def made(tmp_path, **options):
    """A survey, and its key."""
    if not (tmp_path / "pictures").exists():
        folder(tmp_path / "pictures")
    found = survey(tmp_path / "pictures", out=tmp_path / "survey.html", **{"seed": 1, **options})
    return found, Key.read(found.key)


def data(page):
    """What the page asks."""
    text = page.read_text("utf-8")
    return json.loads(text.split('<script type="application/json" id="survey">')[1].split("</script>")[0])


def answered(page, key, choose, *, judge="", session="s1", count=None):
    """The file of a judge: `choose` has the models at the left and at the right, and the scene."""
    asked = data(page)
    trials = [*asked["trials"], *asked["repeats"]]
    choices = [choose(*(key.pictures[one][1] for one in t), key.pictures[t[0]][0]) for t in trials]
    answers = [{"choice": choice, "seconds": 2.5} for choice in choices][:count]
    head = {name: asked[name] for name in ("kind", "version", "survey")}
    return {**head, "judge": judge, "session": session, "started": "", "trials": trials, "answers": answers}


def saved(path, found):
    path.write_text(json.dumps(found), "utf-8")
    return path


def brighter(left, right, _scene):
    """A judge who never errs."""
    return "left" if MODELS.index(left) > MODELS.index(right) else "right"


def chance(rng, strengths, nu=0.4):
    """A judge of Davidson's model."""

    def choose(left, right, _scene):
        a, b = (np.exp(strengths[MODELS.index(model)]) for model in (left, right))
        odds = np.array([a, b, nu * np.sqrt(a * b)])
        return str(rng.choice(["left", "right", "tie"], p=odds / odds.sum()))

    return choose
