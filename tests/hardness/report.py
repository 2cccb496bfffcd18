"""Write the table of what was tried into tests/README.md, from what the last test runs counted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.hardness.ledger import LEDGER

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "tests" / "README.md"
BEGIN, END = "<!-- hardness -->", "<!-- /hardness -->"


def table(rows: dict[str, dict]) -> str:
    """Return the ledger as a Markdown table."""
    lines = ["| Fault or input | Tried | Outcome |", "|---|---|---|"]
    lines += [f"| {what} | {row['tried']:,} | {row['outcome']} |" for what, row in sorted(rows.items())]
    return "\n".join(lines)


def main() -> int:
    """Replace the table between the page's marks."""
    if not LEDGER.exists():
        print("Nothing was tried yet: run pytest tests/hardness first.", file=sys.stderr)
        return 1
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    rows = json.loads(LEDGER.read_text(encoding="utf-8"))
    PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", encoding="utf-8")
    print(f"{len(rows)} rows written to {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
