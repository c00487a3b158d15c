"""`python -m keras_aqe`."""

from keras_aqe.cli import main

if __name__ == "__main__":
    main()
