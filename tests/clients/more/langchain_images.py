"""LangChain's DallEAPIWrapper, which reads links without asking for them.

usage: langchain_images.py BASE_URL FOLDER
"""
import sys

import checks
from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

base_url, folder = sys.argv[1:]
wrapper = DallEAPIWrapper(api_key="any key", base_url=base_url, size="256x256", n=1)
links = wrapper.run("a red apple on a pink background").split(wrapper.separator)
checks.expect_equal("a link", len(links), 1)
checks.save(folder, "apple--256x256--pink", checks.fetch_base64(links[0]))
two = DallEAPIWrapper(api_key="any key", base_url=base_url, size="256x256", n=2, model="dall-e-2")
checks.expect_equal("n links", len(two.run("a fox").split(two.separator)), 2)
try:
    DallEAPIWrapper(api_key="any key", base_url=base_url, model="no-such-model", max_retries=0).run("a fox")
    checks.report("unknown model", False, "was answered")
except Exception as error:
    checks.report("unknown model", "no-such-model" in str(error), str(error))
