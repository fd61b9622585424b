"""Is what a network gives a probability already?  Followed back from its output.  Pure.

The way back leads only through steps that move, pick, average, slice, concatenate, clip, quantise
or cast values, and through 1 - x: these make no probability of a logit, and none of a probability
anything else.  A softmax or a sigmoid that is met so is the network's last word.  One that lies
behind a layer with weights, or behind a step that is not known, says nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """What made a value."""

    is_activation: bool = False
    """A softmax or a sigmoid."""
    passes: tuple[str, ...] = ()
    """The values that it hands on; none where it is a step that is not looked behind."""


UNKNOWN = Step()
ACTIVATION = Step(is_activation=True)


def ends_in_activation(output: str, step_of: Callable[[str], Step]) -> bool:
    """Whether each way back from ``output`` comes to a softmax or a sigmoid."""
    seen, waiting = {output}, [output]
    while waiting:
        step = step_of(waiting.pop())
        if step.is_activation:
            continue
        if not step.passes:
            return False
        new = [value for value in step.passes if value not in seen]
        seen.update(new)
        waiting += new
    return True


def already_done(name: str, activation: str) -> str:
    """What is wrong with a card that asks for an activation again."""
    return (
        f"output.activation: {name} ends in a softmax or a sigmoid already, and {activation} of"
        " that would be no score; set it to none"
    )
