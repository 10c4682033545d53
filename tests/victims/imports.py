"""Where Python takes its modules from, when somebody has laid others of the same names into the user's folders."""

import json
import locale
import sys
from pathlib import Path

PLANTED = ("json.py", "locale.py", "sitecustomize.py", "usercustomize.py", "planted.pth")

print(json.dumps({
    "planted": sorted(str(path) for name in PLANTED for path in Path("/dataset").rglob(name)),
    "path": sys.path,
    "files": [json.__file__, locale.__file__],
    "customised": sorted({"sitecustomize", "usercustomize", "planted"} & set(sys.modules)),
    "marked": hasattr(sys, "planted"),
}))
