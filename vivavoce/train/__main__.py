"""`python -m vivavoce.train TASK …` is `vivavoce train TASK …`, in a form that launchers take:

accelerate launch -m vivavoce.train TASK --config FILE --data SHARD... --out DIR
"""

import sys

from vivavoce.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
