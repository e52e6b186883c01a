r"""Argument checks: one clear sentence that names the argument, what it wants and what it got.

Every check returns the value, so that it reads as part of an assignment.

>>> positive("target_step", 10)
10.0
>>> positive("target_step", -1)
Traceback (most recent call last):
    ...
ValueError: target_step must be a positive number, got -1
"""

import difflib
import math
import numbers
import sys
from collections.abc import Callable, Iterable
from types import UnionType
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj

FLOATS = ("float32", "float64")


def shown(value: object, longest: int = 200) -> str:
    """Return what an error says of a value: its `repr`, in one line of at most `longest` characters.

    A class of one's own may have a `repr` that raises, and an array one of many lines.

    >>> shown("ten"), shown(np.zeros((2, 1)))
    ("'ten'", 'array([[0.], [0.]])')
    """
    try:
        text = repr(value)
        text = " ".join(text.split()) if "\n" in text else text
    except Exception:  # whatever it raises, the sentence is about the value
        return f"an object of class {type(value).__name__}"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def one_of(name: str, value: object, choices: Iterable[str]) -> str:
    """Check that a name is among the known ones; suggest the nearest where it is not.

    >>> one_of("method", "locoprop-x", ["backprop", "locoprop-s"])
    Traceback (most recent call last):
        ...
    ValueError: method must be one of backprop, locoprop-s, got 'locoprop-x' (did you mean 'locoprop-s'?)
    """
    known = tuple(choices)
    if isinstance(value, str) and value in known:
        return value
    nearest = difflib.get_close_matches(value, known, n=1, cutoff=0.5) if isinstance(value, str) else []
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise ValueError(f"{name} must be one of {', '.join(known)}, got {shown(value)}{hint}")


def number(name: str, value: Any) -> float:
    """Check that a value is a real number (not a bool, not NaN) and return it as a float."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        result = float(value)
    except OverflowError:  # an integer or a fraction; its digits would fill the screen
        raise ValueError(f"{name} must be a number of at most 1.8e308, got a larger one") from None
    if math.isnan(result):
        raise ValueError(f"{name} must be a number, got nan")
    return result


def positive(name: str, value: Any, *, infinite: bool = False) -> float:
    """Check a number > 0; infinity only where it has a meaning (`weight_step`)."""
    result = number(name, value)
    if result <= 0 or (math.isinf(result) and not infinite):
        wanted = "a positive number or inf" if infinite else "a positive number"
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    return result


def not_negative(name: str, value: Any) -> float:
    """Check a finite number ≥ 0."""
    result = number(name, value)
    if result < 0 or math.isinf(result):
        raise ValueError(f"{name} must be a finite number of at least 0, got {shown(value)}")
    return result


def fraction(name: str, value: Any) -> float:
    """Check a decay or momentum factor: 0 ≤ value < 1."""
    result = number(name, value)
    if not 0 <= result < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {shown(value)}")
    return result


def integer(name: str, value: Any, *, minimum: int | None = 1, maximum: int | None = sys.maxsize) -> int:
    """Check an integer between `minimum` and `maximum`; None for no bound.

    No array and no loop has more than sys.maxsize elements, 9.2e18, the default.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    result = int(value)
    if minimum is not None and result < minimum:
        got = shown(value) if abs(result) < 10**18 else "a smaller one"
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {got}")
    if maximum is not None and result > maximum:  # its digits may be thousands
        raise ValueError(f"{name} must be an integer of at most {maximum}, got a larger one")
    return result


def boolean(name: str, value: Any) -> bool:
    """Check a switch: nothing but True and False, so that the string "no" does not mean yes."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def keep(owner: Any, check: Callable[..., object], *names: str, **how: Any) -> None:
    """Check fields of a frozen dataclass, and keep what the check returns: plain numbers, never NumPy's.

    A NumPy scalar has a dtype of its own, and would turn a float32 network into a float64 one.

    Args:
        owner: the dataclass's instance, while it is made.
        check: a function of this module, called with the name and the value.
        *names: the fields.
        **how: further arguments of the check.
    """
    for name in names:
        object.__setattr__(owner, name, check(name, getattr(owner, name), **how))


def array(name: str, value: Any, *, ndim: int | None = None, shape: tuple | None = None) -> Any:
    """Check a float32 or float64 array of an array-API library; `None` in `shape` means any size.

    Values are not looked at here: on a GPU that would wait for the device. See `finite`.
    """
    if not is_array_api_obj(value):
        how = (
            f' (numpy.asarray({name}, dtype="float32") makes one)' if isinstance(value, list | tuple) else ""
        )
        raise TypeError(f"{name} must be an array of an array-API library, got {type(value).__name__}{how}")
    if isinstance(value, np.ma.MaskedArray):  # the array functions would read the numbers behind the mask
        raise TypeError(f"{name} must be an array without a mask, got a masked array (see its method filled)")
    # the quick way for NumPy, CuPy and JAX, whose dtypes are NumPy's
    dtype = value.dtype
    known = dtype.char in "fd" if isinstance(dtype, np.dtype) else str(dtype).rpartition(".")[2] in FLOATS
    if not known:
        how = f' (numpy.asarray({name}, dtype="float32") converts it)' if "int" in str(dtype) else ""
        raise TypeError(f"{name} must have dtype float32 or float64, got {dtype}{how}")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {tuple(value.shape)}")
    if shape is not None and value.shape != shape and not _fits(tuple(value.shape), shape):
        wanted = tuple("any" if size is None else size for size in shape)
        raise ValueError(f"{name} must have shape {_spell(wanted)}, got {tuple(value.shape)}")
    return value


def like(name: str, value: Any, reference: Any, *, of: str | None = None) -> Any:
    """Check an array of the library, dtype and shape of another, which has been checked before.

    The arrays of an inner loop pass here, so that the usual case is one comparison.

    Args:
        name: of the argument.
        value: the argument.
        reference: the array that it must be like.
        of: name of the reference, for the sentence; default "the others".
    """
    if type(value) is type(reference) and value.shape == reference.shape and value.dtype == reference.dtype:
        return value
    array(name, value, shape=tuple(reference.shape))
    same_dtype(**{of or "the others": reference, name: value})
    return value


def conforms(name: str, value: Any, protocol: type, wanted: str) -> Any:
    """Check that an object has the methods of a protocol, so that anybody's class may serve."""
    if isinstance(value, type) or not isinstance(value, protocol):
        got = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be {wanted}, got {got}")
    return value


def batch(name: str, value: Any, *, width: int | None = None) -> Any:
    """Check a batch: examples in rows, at least one."""
    array(name, value, ndim=2)
    if value.shape[0] == 0:
        raise ValueError(f"{name} must hold at least one example, got shape {tuple(value.shape)}")
    return value if width is None or value.shape[1] == width else array(name, value, shape=(None, width))


def instance(name: str, value: Any, kind: type | UnionType, wanted: str) -> Any:
    """Check that a value is of one of our own types; `wanted` says how to make one."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {wanted}, got {type(value).__name__}")
    return value


def same_dtype(**arrays: Any) -> None:
    """Check that arrays share one library and one dtype: nothing is converted or promoted silently."""
    first, reference = next(iter(arrays.items()))
    kind, dtype = type(reference), reference.dtype
    for name, value in arrays.items():
        if value is None or (type(value) is kind and value.dtype == dtype):
            continue
        if _library(value) != _library(reference):
            raise TypeError(
                f"{name} must be of the library of {first}, {_library(reference)}, got {_library(value)}"
            )
        if value.dtype != reference.dtype:
            raise TypeError(f"{name} must have the dtype of {first}, {reference.dtype}, got {value.dtype}")


def several(name: str, value: Any, wanted: str) -> tuple[Any, ...]:
    """Check that there are parts to go through, and return them; `wanted` says of what."""
    if not isinstance(value, Iterable) or isinstance(value, bytes | bytearray):
        raise TypeError(f"{name} must be {wanted}, got {shown(value)}")
    return tuple(value)


def array_library(name: str, value: Any) -> Any:
    """Check an array namespace, such as the module numpy: what makes arrays."""
    if not callable(getattr(value, "asarray", None)):
        raise TypeError(f"{name} must be an array namespace such as numpy, got {shown(value)}")
    return value


def finite(name: str, value: Any, *, xp: Any) -> Any:
    """Check that an array holds neither NaN nor infinity (waits for the device)."""
    if not bool(xp.all(xp.isfinite(value))):
        raise ValueError(f"{name} must be finite, got NaN or infinity in it")
    return value


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _fits(shape: tuple, wanted: tuple) -> bool:
    if len(shape) != len(wanted):
        return False
    for size, want in zip(shape, wanted, strict=True):  # a loop is quicker than all(...)
        if want is not None and size != want:
            return False
    return True


def _spell(shape: tuple) -> str:
    return "(" + ", ".join(map(str, shape)) + (",)" if len(shape) == 1 else ")")
