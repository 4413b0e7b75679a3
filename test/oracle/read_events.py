"""Prints what TensorBoard reads in a run's folder: tag -> [[step, value, wall time], ...], as JSON (numbers that are none as text)."""
import json
import math
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
run.Reload()
say = lambda value: value if math.isfinite(value) else str(value)
print(json.dumps({tag: [[e.step, say(e.value), e.wall_time] for e in run.Scalars(tag)] for tag in run.Tags()["scalars"]}))
