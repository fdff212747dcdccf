"""Image files of any format become upright 8-bit RGB: where they may lie, how large they may be, how each is decoded.

Also the pseudonyms of the patient and study that a DICOM file names.

May import the shared package only.
"""
