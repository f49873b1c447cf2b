"""The waist: the portable artefact that training ends in and everything else starts from."""
