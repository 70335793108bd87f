"""What people do with jenkinsapi."""

import sys
import time

from jenkinsapi.custom_exceptions import UnknownJob
from jenkinsapi.jenkins import Jenkins
from jenkinsapi.utils.crumb_requester import CrumbRequester

url, user, token = sys.argv[1:4]
server = Jenkins(url, username=user, password=token, timeout=30)


def same(what, seen, expected):
    assert seen == expected, f"{what} is {seen!r}, not {expected!r}"


CONFIG = """<?xml version='1.1' encoding='UTF-8'?>
<project>
  <description>by jenkinsapi</description>
  <properties>
    <hudson.model.ParametersDefinitionProperty>
      <parameterDefinitions>
        <hudson.model.StringParameterDefinition>
          <name>WHO</name><description/><defaultValue>world</defaultValue>
        </hudson.model.StringParameterDefinition>
      </parameterDefinitions>
    </hudson.model.ParametersDefinitionProperty>
  </properties>
  <builders>
    <hudson.tasks.Shell>
      <command>echo "hello $WHO"
echo kept &gt; file.txt
echo '&lt;testsuite name="s"&gt;&lt;testcase classname="c.D" name="good"/&gt;&lt;/testsuite&gt;' &gt; results.xml</command>
    </hudson.tasks.Shell>
  </builders>
  <publishers>
    <hudson.tasks.ArtifactArchiver><artifacts>file.txt</artifacts></hudson.tasks.ArtifactArchiver>
    <hudson.tasks.junit.JUnitResultArchiver><testResults>results.xml</testResults></hudson.tasks.junit.JUnitResultArchiver>
  </publishers>
</project>
"""

SLOW = """<project><builders><hudson.tasks.Shell><command>echo begun; exec sleep 1000</command></hudson.tasks.Shell></builders></project>"""

assert server.version.startswith("2."), server.version
same("jobs", list(server.keys()), ["of-file"])
assert server.has_plugin("git")

# Create, look, build with parameters.
job = server.create_job("first", CONFIG)
same("name", job.name, "first")
same("description", job.get_description(), "by jenkinsapi")
same("parameters", list(job.get_params_list()), ["WHO"])
assert job.is_enabled() and not job.is_running()
item = job.invoke(build_params={"WHO": "you"})
item.block_until_complete(delay=0.1)
build = item.get_build()
same("number", build.get_number(), 1)
same("status", build.get_status(), "SUCCESS")
assert build.is_good() and not build.is_running()
same("given", build.get_params(), {"WHO": "you"})
assert "hello you" in build.get_console(), build.get_console()
same("streamed", "".join(build.stream_logs(interval=0)).replace("\r\n", "\n"), build.get_console())
same("cause", build.get_causes()[0]["userId"], "admin")
artifacts = list(build.get_artifacts())
same("artifacts", [artifact.filename for artifact in artifacts], ["file.txt"])
same("kept", artifacts[0].get_data(), b"kept\n")
saved = artifacts[0].save("saved.txt")
with open(saved) as file:
    same("saved", file.read(), "kept\n")
assert build.has_resultset()
results = dict(build.get_resultset().items())
same("results", [result.status for result in results.values()], ["PASSED"])
same("last", job.get_last_buildnumber(), 1)
same("last good", job.get_last_good_build().get_number(), 1)
same("ids", list(job.get_build_ids()), [1])
same("same build", server.get_job("first").get_build(1).get_timestamp(), build.get_timestamp())

# Without parameters, and waiting for it.
plain = server.get_job("of-file")
done = plain.invoke(block=True)
same("waited for", done.get_build().get_status(), "SUCCESS")

# What waits, what runs, stop.
slow = server.create_job("slow", SLOW)
running = slow.invoke()
running.block_until_building(delay=0.1)
build = running.get_build()
assert build.is_running() and slow.is_running()
waiting = slow.invoke()
waiting.poll()
assert waiting.is_queued(), waiting
assert slow.is_queued_or_running()
queue = server.get_queue()
same("queue", [one.get_job_name() for _, one in queue.iteritems()], ["slow"])
queue.delete_item(waiting)
same("empty", len(server.get_queue()), 0)
assert build.stop()
build.block_until_complete(delay=1)
build.poll()
same("stopped", build.get_status(), "ABORTED")

# Disable, enable, change, copy, rename, delete.
slow.disable()
slow.poll()
assert not slow.is_enabled()
slow.enable()
slow.poll()
assert slow.is_enabled()
config = job.get_config().replace("by jenkinsapi", "changed")
job.update_config(config)
same("changed", server.get_job("first").get_description(), "changed")
server.copy_job("first", "copy")
assert "copy" in server.jobs
server.rename_job("copy", "renamed")
assert "renamed" in server.jobs and "copy" not in server.jobs
server.delete_job("renamed")
assert "renamed" not in server.jobs
try:
    server.get_job("renamed")
    raise AssertionError("it is there")
except UnknownJob:
    pass

# Views and nodes.
view = server.views.create("mine")
same("view", view.name, "mine")
assert view.add_job("first")
assert "first" in server.views["mine"].keys()
assert view.add_job("slow")
same("in it", sorted(server.views["mine"].keys()), ["first", "slow"])
assert not view.add_job("first"), "twice"
assert view.remove_job("slow")
same("left", list(server.views["mine"].keys()), ["first"])
same("its job", server.views["mine"]["first"].name, "first")
same("views", sorted(name.lower() for name in server.views.keys()), ["all", "mine"])
assert "ListView" in server.views["mine"].get_config()
del server.views["mine"]
assert "mine" not in server.views.keys()
same("views", [name.lower() for name in server.views.keys()], ["all"])

# What is in a folder, and the folder by another name.
asking = server.requester
asking.post_and_confirm_status(f"{url}/createItem", params={"name": "team", "mode": "com.cloudbees.hudson.plugins.folder.Folder"}, data={}, valid=[200, 302])
asking.post_xml_and_confirm_status(f"{url}/job/team/createItem", params={"name": "inner"}, data=CONFIG)
fresh = Jenkins(url, username=user, password=token, timeout=30)
assert "team/inner" in fresh.keys(), list(fresh.keys())
same("inner", fresh["team/inner"].get_full_name(), "team/inner")
asking.post_and_confirm_status(f"{url}/job/team/confirmRename", params={"newName": "crew"}, data={}, valid=[200, 302])
fresh = Jenkins(url, username=user, password=token, timeout=30)
assert "crew/inner" in fresh.keys() and "team/inner" not in fresh.keys(), list(fresh.keys())
nodes = server.get_nodes()
same("nodes", list(nodes.keys()), ["Built-In Node"])
assert nodes["Built-In Node"].is_online()

# By a crumb.
crumbed = Jenkins(url, username=user, password=token, requester=CrumbRequester(username=user, password=token, baseurl=url))
same("by crumb", crumbed.get_job("first").name, "first")
print("done")
