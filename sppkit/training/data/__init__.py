"""What networks are trained and evaluated on.

`finding` reads what a person typed and asks one of the sources: `digits`, `numpy_file`,
`user_data`, `picture_folders`, `hugging_face`. Each gives `kinds.Data`, or pictures that `finding`
makes into it.
"""

from sppkit.training.data.finding import find_data
from sppkit.training.data.kinds import AUGMENTATIONS, FORMS, Data, Found, Wishes

__all__ = ["AUGMENTATIONS", "FORMS", "Data", "Found", "Wishes", "find_data"]
