"""What is installed is what is needed: the bare install is an agent, and the wheel carries what the programs read."""

import subprocess
import sys
import zipfile
from importlib.metadata import distribution, files, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "wire": ROOT / "wire" / "civobs_wire",
    "agent": ROOT / "agent" / "civobs_agent",
    "anchor": ROOT / "anchor" / "civobs_anchor",
    "collector": ROOT / "collector" / "civobs_collector",
}
DASHBOARDS = {Path("civobs_collector/grafana/dashboards") / file.name for file in (ROOT / "dashboards").glob("*.json")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """Run Python with the wheel and what a plain ``pip install`` of it brings, and nothing else."""
    site = tmp_path_factory.mktemp("bare")
    for name in brought_by("civobs") - {"civobs"}:
        for top in {file.parts[0] for file in files(name) or []} - {"..", "__pycache__"}:
            (site / top).symlink_to(distribution(name).locate_file(top))
    start = f"import sys\nsys.path[:0] = [{str(wheel)!r}, {str(site)!r}]\n"

    def run(code):
        # Without the site-packages of the environment, and deaf to its variables.
        command = [sys.executable, "-I", "-S", "-c", start + code]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("import psycopg").returncode == 1
    return run


def brought_by(name, *, found=None):
    """Distributions that a plain ``pip install`` of one brings, itself included."""
    found = set() if found is None else found
    if canonicalize_name(name) in found:
        return found
    found.add(canonicalize_name(name))
    for line in requires(name) or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            brought_by(requirement.name, found=found)
    return found


def test_the_bare_install_imports_the_whole_agent(bare):
    done = bare(
        "import importlib, pkgutil, civobs_agent, civobs_wire\n"
        "for package in civobs_agent, civobs_wire:\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.endswith('__main__'):\n"
        "            importlib.import_module(module.name)\n"
        "print(civobs_agent.__file__)\n"
    )
    assert done.returncode == 0, done.stderr
    assert "site/civobs_agent" in done.stdout


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["--version"], 0), (["status"], 1), (["doctor"], 1)])
def test_the_bare_install_runs_the_agents_commands(bare, tmp_path, words, code):
    settings = tmp_path / "agent.toml"
    settings.write_text(f'state_dir = "{tmp_path}/state"\nruntime_dir = "{tmp_path}"\n')
    done = bare(f"from civobs_agent.__main__ import main\nsys.exit(main(['--config', {str(settings)!r}, *{words!r}]))")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_the_bare_install_measures_in_a_program_of_its_own_and_lifts_no_refusal_there(bare, tmp_path):
    done = bare(
        "import asyncio\n"
        "from pathlib import Path\n"
        "from civobs_agent import apart\n"
        "from civobs_agent.clock import Clock\n"
        "from civobs_agent.net import Net\n"
        "from civobs_agent.refusal import Refusal\n"
        "from civobs_wire.plan import Target\n"
        f"net = Net(Clock(Path({str(tmp_path)!r})), refusal=Refusal(allowed=frozenset({{'127.0.0.1'}})))\n"
        "context = net.context(net.clock.moment().at, None)\n"
        "rows = asyncio.run(apart.run('tcp', Target(id='page', url='http://127.0.0.1:1/'), context))\n"
        "print(sorted({str(row.failure) for row in rows if row.family == 4}))\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['target_refused']"


@pytest.mark.parametrize("words", [["--help"], ["migrate"], []])
def test_the_bare_install_says_what_the_collector_needs(bare, words):
    done = bare(f"from civobs_collector.__main__ import main\nsys.exit(main({words!r}))")
    assert done.returncode == 2
    cause, remedy = done.stderr.splitlines()
    assert cause.startswith("civobs: the collector needs ")
    assert remedy.strip() == "pip install 'civobs[collector]'"


def files_of(folder):
    """Files that are not a tool's cache, relative to the folder above."""
    found = {file.relative_to(folder.parent) for file in folder.rglob("*") if file.is_file()}
    return {file for file in found if not any(part == "__pycache__" or part.startswith(".") for part in file.parts)}


def test_the_wheel_carries_every_file_of_the_packages_but_the_mark_of_a_laboratory(wheel):
    for folder in PACKAGES.values():
        left_out = {Path("civobs_agent/_lab.py")} if folder.name == "civobs_agent" else set()
        besides = DASHBOARDS if folder.name == "civobs_collector" else set()
        assert files_of(folder) - left_out | besides == files_of(wheel / folder.name)


def test_an_installed_collector_has_the_dashboards_for_grafana(wheel):
    code = f"""import sys
sys.path.insert(0, {str(wheel)!r})
from civobs_collector.grafana.wanted import dashboard_folder, dashboard_texts
print(dashboard_folder(), len(dashboard_texts(dashboard_folder())))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(wheel / "civobs_collector" / "grafana" / "dashboards"), str(len(DASHBOARDS))]


def test_the_wheel_carries_no_other_package(wheel):
    top = {entry.name for entry in wheel.iterdir() if not entry.name.endswith(".dist-info")}
    assert top == {folder.name for folder in PACKAGES.values()}


def test_help_of_the_collector_does_not_load_what_takes_long():
    code = "import sys\nfrom civobs_collector.__main__ import _parser\n_parser()\n"
    code += "print([name for name in ('scipy', 'numpy', 'vl_convert') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
