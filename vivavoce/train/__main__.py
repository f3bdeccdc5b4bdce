"""`python -m vivavoce.train TASK …`: the same as `vivavoce train TASK …`, in a form that launchers accept.

accelerate launch -m vivavoce.train TASK --config FILE --data SHARD... --out DIR
"""

import sys

from vivavoce.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
