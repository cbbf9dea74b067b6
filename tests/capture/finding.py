"""Find rows and reasons in a recording."""


def rows(recording, **key):
    """Give the rows of a key."""
    table = recording.table()
    for column, value in key.items():
        table = table[table[column] == value]
    return table


def row(recording, **key):
    """Find the one row of a key."""
    found = rows(recording, **key)
    assert len(found) == 1, found
    return found.iloc[0]


def reasons(recording):
    """Give why something was not captured, by layer."""
    return {missing.layer: missing.reason for missing in recording.not_captured}
