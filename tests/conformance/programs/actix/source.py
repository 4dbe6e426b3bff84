"""The source of a crate with its tests, as cargo downloads it, beside the application; which uses the versions that the crate was published with."""

import json
import pathlib
import shutil
import subprocess
import sys

name = sys.argv[1]
metadata = json.loads(subprocess.run(["cargo", "metadata", "--format-version", "1"], check=True, stdout=subprocess.PIPE).stdout)
manifest = next(package["manifest_path"] for package in metadata["packages"] if package["name"] == name)
shutil.copytree(pathlib.Path(manifest).parent, name)
shutil.copy(pathlib.Path(name, "Cargo.lock"), "Cargo.lock")
