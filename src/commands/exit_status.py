"""What a command ends with: an error as one line, and an exit status."""

import re
import sys
from concurrent.futures.process import BrokenProcessPool

from visual_attention.experiment.stopping import CostError, Interrupted


def run(main, *args):
    """Calls main(*args); exits with 1 after an error that a user can correct, with 128 + n after signal n."""
    try:
        main(*args)
    except Interrupted as stop:
        print(f"\n{stop}", file=sys.stderr)
        sys.exit(stop.status)
    except KeyboardInterrupt:
        print("\ninterrupted: start the same command again to continue", file=sys.stderr)
        sys.exit(130)
    except BrokenProcessPool:
        sys.exit("error: a worker process died (out of memory?); start the same command again with --workers 1")
    except MemoryError as error:
        sys.exit(f"error: out of memory ({error}); a smaller --batch-size or --memory-gb needs less")
    except (ValueError, OSError, ImportError, CostError) as error:
        # the message may quote a file of anybody's, which must not control the terminal
        sys.exit("error: " + re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f]", "?", str(error)))
