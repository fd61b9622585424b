import numpy as np
from numpy.typing import NDArray

def resample(
    source: NDArray[np.uint8],
    out: NDArray[np.uint8],
    down: NDArray[np.int32],
    down_weights: NDArray[np.int32],
    along: NDArray[np.int32],
    along_weights: NDArray[np.int32],
    total: int,
) -> None: ...
