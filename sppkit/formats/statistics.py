"""How often each rule found something, over all targets."""

import json
from collections import Counter

from sppkit.formats.results import CheckResults


def statistics(results: CheckResults, *, as_json: bool = False) -> str:
    """Count the findings that count, the most frequent rule first."""
    found = Counter(finding.code for report in results for finding in report.counted)
    ordered = sorted(found.items(), key=lambda each: (-each[1], each[0]))
    titles = {rule.code: rule.title for rule in results.rules}
    if as_json:
        entries = [{"code": c, "title": titles.get(c, ""), "count": n} for c, n in ordered]
        return json.dumps(entries, indent=2) + "\n"
    width = len(str(max(found.values(), default=0)))
    lines = [f"{count:{width}}  {code}  {titles.get(code, '')}" for code, count in ordered]
    return "\n".join([*lines, results.summary]) + "\n"
