"""What Tab brings: names of modules where a chain is typed, files where a file is taken.

Tab waits for this: nothing is imported but click and the table of the modules.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem, get_completion_class

if TYPE_CHECKING:
    import click

# click's own script knows nothing of bash's parting words at "=" and ":", as in books=parser; here
# they are put together again, and of what comes back the part that bash takes for the word is left.
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' word joined kind value line parted=
    local -a words=()
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if (( ${#words[@]} )) && [[ $joined || $word == [=:]* ]]; then
            words[-1]+=$word
            parted=1
        else
            words+=("$word")
            parted=
        fi
        joined=
        if [[ $word == *[=:] && $COMP_WORDBREAKS == *"${word: -1}"* ]]; then joined=1; fi
    done
    COMPREPLY=()
    while read -r line; do
        kind=${line%%%%,*} value=${line#*,}
        if [[ $kind == dir ]]; then
            compopt -o dirnames
        elif [[ $kind == file ]]; then
            compopt -o default
        elif [[ $kind == plain ]]; then
            if [[ $parted ]]; then value=${value##*[=:]}; fi
            COMPREPLY+=("$value")
        fi
    done < <(env COMP_WORDS="${words[*]}" COMP_CWORD=$(( ${#words[@]} - 1 )) \
%(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
# click's own script cuts what comes back at each comma, as in parser,text-embedder.
_FISH = """\
function %(complete_func)s
    for line in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp | string collect) \
COMP_CWORD=(commandline -ct) %(prog_name)s)
        set -l parts (string split -m 1 "," -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""
_SCRIPTS = {"bash": _BASH, "fish": _FISH}


def script(shell: str, program: click.Command) -> str:
    """Give the script that lets a shell ask for completions: bash (4.4 or later), zsh or fish."""
    kind = get_completion_class(shell)
    assert kind is not None  # the command takes these three alone
    made = kind(program, {}, "krixik-async", "_KRIXIK_ASYNC_COMPLETE")
    if shell in _SCRIPTS:
        return _SCRIPTS[shell] % made.source_vars()
    return made.source()


def files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Leave it to the shell, which knows the files."""
    return [CompletionItem(incomplete, type="file")]


def module(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Give the modules of that beginning."""
    from krixik_async._catalogue import MODULES

    return _beginning("", incomplete, MODULES)


def modules_or_all(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Give the modules that may come next in a list, or `all`, which stands alone."""
    from krixik_async._catalogue import MODULES

    before, last = _parted(incomplete)
    named = before.split(",")
    left = [name for name in MODULES if name not in named]
    found = _beginning(before, last, left, going_on=left if len(left) > 1 else ())
    return [*found, *_beginning("", incomplete, ["all"])]


def pipeline(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Give the modules that fit behind NAME=module,module as it is so far; else files."""
    from krixik_async._catalogue import MODULES, followers

    name, sign, chain = incomplete.rpartition("=")
    if not sign:
        return [CompletionItem(incomplete, type="file")]
    before, last = _parted(chain)
    fitting: Iterable[str] = MODULES
    if before:
        previous = before.split(",")[-2].strip()
        fitting = followers(previous) if previous in MODULES else ()
    going_on = [one for one in fitting if followers(one)]
    return _beginning(f"{name}={before}", last, fitting, going_on=going_on)


def _parted(chain: str) -> tuple[str, str]:
    """Give what is before the name that is being typed, with its comma, and that name."""
    before, comma, last = chain.rpartition(",")
    return before + comma, last


def _beginning(
    before: str, last: str, names: Iterable[str], *, going_on: Iterable[str] = ()
) -> list[CompletionItem[str]]:
    """Give the names of that beginning.

    A shell ends the word behind a name that is the only one; so where others may follow it, it is
    given with a comma, too.
    """
    found = [name for name in names if name.startswith(last)]
    if len(found) == 1 and found[0] in going_on:
        found.append(f"{found[0]},")
    return [CompletionItem(before + name) for name in found]
