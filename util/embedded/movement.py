"""Movements of a figure: the angles of its limbs over time, and the places of its body parts."""

import numpy as np

ACTIONS = ("walk", "wave", "jack", "punch", "wheel_left", "wheel_right", "squat_push", "squat_drop")
BACKWARDS = {"wheel_right": "wheel_left", "squat_drop": "squat_push"}  # the same poses, played backwards
SIDE_VIEW = ("walk", "punch", "squat_push", "squat_drop")  # the other actions face the camera


def pose(action, turns):
    """Angles (n,) in radians at the phases `turns` (n,) of an action's cycle.

    0 hangs straight down. Positive is forward or, seen from the front, outward. Angles of elbows and knees are relative
    to the upper segment. Returns a dict: `arms`, `legs`: (upper, lower) of each side; `lean` of the trunk; `hop`: the
    height of the feet above the ground, as a share of the figure's height.
    """
    if action in BACKWARDS:
        return pose(BACKWARDS[action], -turns)
    w, zero = 2 * np.pi * turns, np.zeros_like(turns)
    angles = {"lean": zero, "hop": zero, "arms": [(zero + 0.15, zero + 0.15)] * 2, "legs": [(zero + 0.1, zero)] * 2}
    if action == "walk":
        sides = (w, w + np.pi)
        angles["legs"] = [(0.06 + 0.46 * np.sin(a), -0.14 - 0.85 * np.maximum(0, np.cos(a + 0.35)) ** 2) for a in sides]
        angles["arms"] = [(-0.55 * np.sin(a), 0.45 - 0.2 * np.sin(a)) for a in sides]
        angles["lean"] = zero + 0.06
    elif action == "wave":
        angles["arms"] = [(zero + 0.15, zero + 0.2), (2.0 + 0.1 * np.sin(w), 1.1 + 0.7 * np.sin(w))]
    elif action == "jack":
        opening = (1 - np.cos(w)) / 2
        angles["arms"] = [(0.15 + 2.55 * opening, 0.1 + 0.2 * opening)] * 2
        angles["legs"] = [(0.06 + 0.42 * opening, zero)] * 2
        angles["hop"] = 0.06 * np.sin(w) ** 2
    elif action == "punch":
        reach = [np.maximum(0, np.sin(w)) ** 1.5, np.maximum(0, -np.sin(w)) ** 1.5]
        angles["arms"] = [(0.35 + 1.2 * r, 2.1 * (1 - r)) for r in reach]
        angles["legs"] = [(zero + 0.5, zero - 0.55), (zero - 0.2, zero - 0.3)]
        angles["lean"] = 0.1 + 0.08 * np.abs(np.sin(w))
    elif action == "wheel_left":  # both arms go round together, like a wheel that rolls to the left
        angles["arms"] = [(-w, zero), (w, zero)]
        angles["legs"] = [(zero + 0.16, zero)] * 2
    else:  # squat_push: down for most of the cycle, then up
        cycle, down = turns % 1, 0.74
        depth = (1 - np.cos(np.pi * np.where(cycle < down, cycle / down, (1 - cycle) / (1 - down)))) / 2
        angles["legs"] = [(1.55 * depth + 0.05, -2.25 * depth - 0.05), (1.5 * depth - 0.05, -2.15 * depth - 0.05)]
        angles["arms"] = [(0.1 + 1.35 * depth, zero + 0.15)] * 2
        angles["lean"] = 0.65 * depth
    return angles


def _along(start, angle, length, side=1.0):
    """The point `length` from `start` (n, 2) at `angle` (n,) from straight down."""
    return start + length * np.stack([side * np.sin(angle), np.cos(angle)], axis=-1)


def skeleton(angles, side_view, body):
    """Body parts from far to near: [(paint, [(a (n, 2), b (n, 2), radius), ...]), ...].

    Each stroke goes from a to b; where both are the same array, it is a disc. Lengths are in heights of the figure; its
    feet are at (0, 0).
    """
    thick, leg = body["thick"], body["leg"]
    chest, waist = (0.025, 0.02) if side_view else (body["shoulders"], 0.05)
    sides = np.array([1, 1] if side_view else [-1, 1])
    hips = [np.array([side * waist, 0.0]) for side in (-1, 1)]
    shins = [upper + lower for upper, lower in angles["legs"]]
    knees = [_along(hips[k], angles["legs"][k][0], 0.51 * leg, sides[k]) for k in (0, 1)]
    ankles = [_along(knees[k], shins[k], 0.49 * leg, sides[k]) for k in (0, 1)]
    # The lower foot stands on the ground. The feet stay in place while the body moves over them.
    root = np.stack([-(ankles[0] + ankles[1])[:, 0] / 2, -0.03 - angles["hop"] - np.maximum(*ankles)[:, 1]], axis=-1)
    neck = _along(root, np.pi - angles["lean"], body["torso"])
    head = _along(neck, np.pi - 0.5 * angles["lean"], 0.105)
    back = np.array([-0.012 if side_view else 0.0, -0.012])  # from the centre of the head to that of the hair

    legs, arms, chests = [], [], [(neck + [0, 0.05], root - [0, 0.05], 0.055 * thick)]
    for k, side in enumerate((-1, 1)):
        hip, knee, ankle = hips[k] + root, knees[k] + root, ankles[k] + root
        lift = np.clip((-0.03 - ankle[:, 1]) / 0.08, 0, 1)  # a lifted foot hangs at a right angle to the shin
        toe = _along(ankle, np.pi / 2 + shins[k] * lift, 0.06) if side_view else ankle + [side * 0.022, 0.012]
        upper, lower = angles["arms"][k]
        shoulder = neck + [side * chest, 0.02]
        elbow = _along(shoulder, upper, 0.165, sides[k])
        hand = _along(elbow, upper + lower, 0.155, sides[k])
        far = " far" if side_view and k == 0 else ""
        legs += [
            (("skin" if body["shorts"] else "trousers") + far, [(knee, ankle, 0.031 * thick)]),
            ("shoes" + far, [(ankle, toe, 0.024)]),
            ("trousers" + far, [(hip, knee, 0.045 * thick)]),
        ]
        arms += [
            ("skin" + far, [(hand, hand, 0.03)]),
            (("skin" if body["short_sleeves"] else "shirt") + far, [(elbow, hand, 0.025 * thick)]),
            ("shirt" + far, [(shoulder, elbow, 0.033 * thick)]),
        ]
        chests.append((shoulder, hip - [0, 0.04], 0.045 * thick))
    trunk = [("trousers", [(hips[0] + root, hips[1] + root, 0.045 * thick)]), ("shirt", chests)]
    crown, face = head + back, head - back
    hair = [(crown, crown, 0.07)]
    if body["long_hair"]:
        hair.append((crown, crown + back + [0, 0.09], 0.05))
    head_parts = [("hair", hair), ("skin", [(neck, head, 0.027)]), ("skin", [(face, face, 0.056)])]
    return arms[:3] + legs + trunk + head_parts + arms[3:] if side_view else legs + trunk + head_parts + arms
