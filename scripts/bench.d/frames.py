"""Collapsed stacks on stdin -> the same with the frames that tell something: without generics, and without those of the
standard library and of rayon, which stand between any two of ours."""

import collections
import re
import sys

FRAMES_MAX = 24
NOISE = re.compile(
    r"^(core|std|alloc|rayon|rayon_core|__rust|\[unknown\]|start_thread|clone3|_start|__libc|main$|call_|\{closure|catch_unwind"
    r"|do_call|execute|join|bridge|helper|drive|consume|fold_with|run_inline|for_each|try_for_each|map|next|collect|from_iter"
    r"|install|in_worker|inline|try$|R::|F::|halt_unwinding|extend|spec_|special_|callback|with_producer|par_|from_par|wait_until"
    r"|main_loop|call$|run$|go$|fold$|split|push$|write$|with$|.*[>,&]|.*alloc::)"
)


def without_generics(name):
    out, depth = [], 0
    for character in name:
        if character == "<":
            depth += 1
        elif character == ">" and depth > 0:
            depth -= 1
        elif depth == 0:
            out.append(character)
    return re.sub(r"::\{+closure.*", "", "".join(out).strip()).replace("::{impl#0}", "").replace("foldline::", "")


def main():
    stacks = collections.Counter()
    for line in sys.stdin:
        stack, count = line.rsplit(" ", 1)
        process, *frames = stack.split(";")
        kept = [process]
        for name in map(without_generics, frames):
            if name and not name.startswith("::") and not NOISE.match(name) and kept[-1] != name:
                kept.append(name)
        stacks[";".join(kept[:FRAMES_MAX])] += int(count)
    sys.stdout.writelines(f"{stack} {count}\n" for stack, count in sorted(stacks.items()))


main()
