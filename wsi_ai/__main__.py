"""``python -m wsi_ai``."""

from wsi_ai.cli import main

if __name__ == "__main__":
    main()
