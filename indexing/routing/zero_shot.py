"""Prompts that name a domain, for `DomainClassifier.zero_shot`.

They were tried on the small encoder of samples/ only, which reads prompts poorly: with another, check what they do, and
write your own where they fail. Domains that overlap (radiology and ct) are better not put side by side.
"""

from collections.abc import Iterable

# What images of a domain are called in captions and reports. Short and plain: the encoders' text towers differ widely.
_TERMS: dict[str, tuple[str, ...]] = {
    "radiology": (
        "chest X-ray",
        "CT of the chest",
        "CT of the abdomen",
        "MRI of the brain",
        "radiograph of a bone",
        "axial CT with contrast",
    ),
    "pathology": ("histopathology slide", "H&E stained tissue", "microscopy of cells", "blood smear", "cell nuclei"),
    "ophthalmology": ("fundus photograph", "retinal photograph of the eye", "retina with optic disc and macula"),
    "ultrasound": ("ultrasound", "sonogram", "breast ultrasound", "B-mode ultrasound", "ultrasound of a lesion"),
    "dermatology": ("dermoscopy", "photograph of a skin lesion", "skin rash", "pigmented skin lesion"),
    "endoscopy": ("endoscopy", "colonoscopy", "gastroscopy", "polyp seen in endoscopy"),
    "cardiology": ("echocardiogram", "coronary angiogram", "electrocardiogram"),
    "mammography": ("mammogram", "mammography, craniocaudal view", "mammography, mediolateral oblique view"),
    "dentistry": ("dental X-ray", "panoramic dental radiograph", "intraoral photograph of teeth"),
    "surgery": ("laparoscopic surgery", "intraoperative photograph", "surgical field with instruments"),
    "x-ray": ("X-ray", "chest X-ray", "radiograph of a bone"),
    "ct": ("CT scan", "computed tomography", "axial CT with contrast"),
    "mri": ("MRI scan", "magnetic resonance imaging", "T1-weighted MRI", "T2-weighted MRI"),
    "oct": ("optical coherence tomography", "OCT of the retina"),
}

_TEMPLATES = ("{}", "{}.", "a {} image", "an image of {}", "{} of a patient")

DEFAULT_DOMAINS = ("radiology", "pathology", "ophthalmology", "ultrasound", "dermatology", "endoscopy")
"""Domains that do not overlap, for a corpus that names none."""


def default_prompts(domains: Iterable[str] = DEFAULT_DOMAINS) -> dict[str, list[str]]:
    """Prompts for domains: several terms in several templates for well-known names, else "a {domain} image".

    >>> default_prompts(["thermography"])
    {'thermography': ['a thermography image']}
    """
    return {
        domain: [template.format(term) for term in _TERMS[domain.lower()] for template in _TEMPLATES]
        if domain.lower() in _TERMS
        else [f"a {domain} image"]
        for domain in domains
    }
