"""What can go wrong, each with one line that says what to do.

LocalModelsError
├── ModelError
│   ├── UnknownModel         neither in the catalog, nor installed, nor a path
│   ├── ModelNotPresent      known, but its file is not on this box
│   ├── BadModelFile         the file is there, and no model or not all of one
│   └── PullFailed           the files could not be fetched or installed
│       ├── SourceFailed     the source did not hand them out
│       ├── LicenceNotAccepted  the model's terms want to be accepted first
│       └── ChecksumMismatch what came is not what the catalog promises
└── HostError
    ├── HostUnavailable      no engine host could be reached or started
    └── EngineNotUp          the engine did not come up in the time given
"""


class LocalModelsError(Exception):
    """Anything that this package reports to its users."""


class ModelError(LocalModelsError):
    """About a model's name or files."""


class UnknownModel(ModelError):
    """The name is neither in the catalog, nor installed, nor a path."""


class ModelNotPresent(ModelError):
    """The model is known but its file is not here; the message says how to get it."""


class BadModelFile(ModelError):
    """The file is there, but it is no model, or not all of one."""


class PullFailed(ModelError):
    """The model could not be fetched or installed; nothing half-installed is left."""


class SourceFailed(PullFailed):
    """The place that the model comes from did not hand it out."""


class LicenceNotAccepted(PullFailed):
    """The model comes under terms that were not accepted; nothing was fetched."""


class ChecksumMismatch(PullFailed):
    """What was fetched is not what the catalog promises; it was thrown away."""


class HostError(LocalModelsError):
    """About the engine host or an engine it runs."""


class HostUnavailable(HostError):
    """No engine host could be reached or started."""


class EngineNotUp(HostError):
    """The engine did not come up in the time given."""
