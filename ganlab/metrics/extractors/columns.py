"""What rows of a table are compared by: their standardised columns."""

from torch import Tensor

from ganlab.errors import ConfigurationError
from ganlab.interfaces import FeatureExtractor, Features, Modality
from ganlab.metrics.extractors.logmel import checksum


class Columns(FeatureExtractor):
    """Numbers, standardised as the training split's, and categories, one-hot: a row as networks see it.

    Fréchet distances, keys `fd_columns_*`, then compare means, variances and correlations of columns, each on the scale
    of its own spread.
    """

    modality = "table"
    name = "columns"
    weights_sha256 = ""
    resize = "columns standardised by the training split, categories one-hot"
    num_features = 0
    _table: Modality | None = None

    def prepare(self, modality: Modality) -> None:
        """Takes the columns."""
        super().prepare(modality)
        self._table = modality
        (self.num_features,) = modality.shape
        self.weights_sha256 = checksum(modality.describe())

    def forward(self, samples: Tensor) -> Features:
        """Returns features `(N, D)` of rows as they are stored, `(N, num_columns)`; there are no class scores.

        Raises:
            ConfigurationError: nobody has said what the columns are.
        """
        if self._table is None:
            raise ConfigurationError(
                "extractor columns has to know the columns, and the data do not say them: use data=table"
            )
        features = self._table.normalize(samples).float()
        return Features(features, features[:, :0])
