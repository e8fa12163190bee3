"""The exceptions of the project: one family per room, all rooted in RoseError.

Every message says what was given, what is allowed and what to do about it.
"""


class RoseError(Exception):
    """Root of everything rose_ros raises on purpose."""


class ImageError(RoseError):
    """An image or image message cannot be used."""


class MaskError(RoseError):
    """A mask or its run lengths are malformed."""


class GeometryError(RoseError):
    """Depth or a camera's calibration cannot be used."""


class ModelError(RoseError):
    """A checkpoint is missing, broken or does not fit."""


class RuntimeUnavailableError(RoseError):
    """The requested runtime or device is not on this machine."""


class RequestError(RoseError):
    """A refine or find request cannot be served as asked."""


class DataError(RoseError):
    """A data set, split or scene is not what was asked for."""


class TrainingError(RoseError):
    """Training cannot start or go on."""


class ExportError(RoseError):
    """A model cannot be exported, or what was exported does not agree with it."""


class EngineError(RoseError):
    """A TensorRT engine cannot be built, or does not fit this machine or model."""


class RecordingError(RoseError):
    """A recording cannot be read, or its result cannot be written."""
