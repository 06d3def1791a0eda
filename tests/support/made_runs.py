"""Run folders as convoy train leaves them, with figures that a test chooses."""

import json

CONFIGURATION = {"name": "made", "data": "synthetic:100", "model": "seed", "epochs": 3, "batch": 10, "learning-rate": 0.1,
                 "seed": 0, "steps": 0, "out": "", "average": "step", "threads": 1}
IMAGES = 100  # of an epoch


def rows(accuracies, distance=None, pace=1.0):
    """Of an epoch for each accuracy: two rows of steps and its own. Training takes `pace` seconds an epoch, and half a
    second of each is evaluation; it starts two seconds after the process."""
    found = []
    for epoch, accuracy in enumerate(accuracies, 1):
        for half in (0.5, 1.0):
            images = round((epoch - 1 + half) * IMAGES)
            found.append({"kind": "step", "step": images // 10, "epoch": epoch, "learning_rate": 0.1 / epoch,
                          "images_seen": images, "elapsed_seconds": 2 + images / IMAGES * pace + (epoch - 1) * 0.5,
                          "images_per_second": IMAGES / pace, "loss": 3.0 / (images / IMAGES + 1)})
        row = {"kind": "epoch", "step": epoch * IMAGES // 10, "epoch": epoch, "learning_rate": 0.1 / epoch,
               "images_seen": epoch * IMAGES, "elapsed_seconds": 2 + epoch * (pace + 0.5), "train_seconds": epoch * pace,
               "images_per_second": IMAGES / pace, "train_loss": 3.0 / (epoch + 1), "train_accuracy": accuracy - 0.01,
               "test_loss": 1 - accuracy, "test_accuracy": accuracy, "test_accuracy_plain": accuracy}
        if distance is not None:
            row["weight_distance"] = distance / epoch
        found.append(row)
    return found


def make_run(folder, accuracies=(0.5, 0.7, 0.8), state="done", seed=0, distance=None, pace=1.0, summary=(), **configuration):
    """`configuration` has options with _ for -; `summary` is put over the summary's own fields."""
    folder.mkdir(parents=True)
    found = rows(accuracies, distance, pace)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    options = {name.replace("_", "-"): value for name, value in configuration.items()}
    last = found[-1] if found else {}
    text = {"state": state, "seconds": 2 + len(accuracies) * (pace + 0.5), "train_seconds": len(accuracies) * pace,
            "images_per_second": IMAGES / pace, "steps": last.get("step", 0), "epochs": len(accuracies), "world_size": 1,
            "device": "cpu (one of them)", "precision": "fp32", "model": "seed", "data": "Fashion-MNIST (IDX)",
            "data_origin": "/data/fashion", "data_checksum": "0123456789abcdef", "host": "here",
            "started": "2026-01-02T03:04:05Z", "command_line": ["convoy", "train", "--out", str(folder)],
            "version": "1.2.3", "commit": "abcdef012345", "dirty": False, "compiler": "GNU 12", "build_type": "Release",
            "versions": {"onednn": "2.6"},
            "configuration": {**CONFIGURATION, **options, "seed": seed, "out": str(folder)}}
    text.update({name: last[name] for name in ("test_accuracy", "test_accuracy_plain", "test_loss", "train_loss",
                                               "weight_distance") if name in last})
    text.update(dict(summary))
    (folder / "summary.json").write_text(json.dumps(text, indent=2))
    return folder
