"""What every script does around its work: an error is one line and a non-zero exit status, never a traceback."""

import sys
from concurrent.futures.process import BrokenProcessPool

from visual_attention.run_folder import CostError, Interrupted, WriteError


def run(main, *args):
    """Calls main(*args); exits with 1 after an error a user can mend, with 128 + n after signal n."""
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
    except (ValueError, OSError, ImportError, WriteError, CostError) as error:
        sys.exit(f"error: {error}")
