"""A table of stores and what came out on them, in Markdown."""

import re


class Matrix:
    def __init__(self):
        self.stores, self.not_started, self.cells, self.probes = {}, {}, {}, {}

    def add_store(self, name, title, version):
        self.stores[name] = f"{title} {version}".strip()

    def add(self, store, row, cell):
        self.cells.setdefault(row, {})[store] = cell

    def add_probe(self, store, name, outcome):
        """What `ckbackup doctor` said of a store."""
        self.probes.setdefault(name, {})[store] = outcome

    def table(self):
        """Rows are capabilities, columns stores; then what doctor found, then what did not start."""
        parts = [self._table("", self.cells)]
        if self.probes:
            parts.append(self._table("`ckbackup doctor`", self.probes))
        parts += [f"{self.stores[name]} was not started: {reason}." for name, reason in self.not_started.items()]
        return "\n\n".join(parts)

    def _table(self, title, rows):
        columns = [name for name in self.stores if name not in self.not_started]
        lines = [[title, *(self.stores[name] for name in columns)], ["---"] * (len(columns) + 1)]
        lines += [[row, *(cells.get(name, "") for name in columns)] for row, cells in rows.items()]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def write(self, path):
        """Puts the table between the two marks of a file."""
        text = path.read_text()
        new, count = re.subn(r"(<!-- matrix -->\n).*(\n<!-- end of matrix -->)",
                             lambda match: match[1] + self.table() + match[2], text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{path} has no place for the table")
        path.write_text(new)
