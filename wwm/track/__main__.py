"""The process beside a stage."""

import sys

from wwm.track import deliver, sender

sender.serve(deliver, *sys.argv[1:])
