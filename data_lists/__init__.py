"""The lists of UCF-11, HMDB-51 and Hollywood2, installed as data of the package; README.md describes them."""
