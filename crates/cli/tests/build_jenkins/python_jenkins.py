"""What people do with python-jenkins."""

import sys
import time

import jenkins
import requests

url, user, token = sys.argv[1:4]
server = jenkins.Jenkins(url, username=user, password=token, timeout=30)


def same(what, seen, expected):
    assert seen == expected, f"{what} is {seen!r}, not {expected!r}"


def until(what, tell):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = tell()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")


def finished(name, number):
    def tell():
        info = server.get_build_info(name, number)
        return None if info["building"] else info

    return until(f"{name} {number} over", tell)


def started(item):
    return until(f"item {item} started", lambda: server.get_queue_item(item).get("executable"))["number"]


CONFIG = """<?xml version='1.1' encoding='UTF-8'?>
<project>
  <description>made by a client</description>
  <properties>
    <hudson.model.ParametersDefinitionProperty>
      <parameterDefinitions>
        <hudson.model.StringParameterDefinition>
          <name>WHO</name>
          <description>whom</description>
          <defaultValue>world</defaultValue>
        </hudson.model.StringParameterDefinition>
        <hudson.model.BooleanParameterDefinition>
          <name>LOUD</name>
          <description></description>
          <defaultValue>false</defaultValue>
        </hudson.model.BooleanParameterDefinition>
      </parameterDefinitions>
    </hudson.model.ParametersDefinitionProperty>
  </properties>
  <scm class="hudson.scm.NullSCM"/>
  <canRoam>true</canRoam>
  <disabled>false</disabled>
  <triggers/>
  <concurrentBuild>false</concurrentBuild>
  <builders>
    <hudson.tasks.Shell>
      <command>echo "hello $WHO ($LOUD)"
mkdir -p out
printf 'kept' &gt; out/file.txt
cat &gt; results.xml &lt;&lt;X
&lt;testsuite name="s"&gt;&lt;testcase classname="c.D" name="good" time="0.1"/&gt;&lt;testcase classname="c.D" name="bad"&gt;&lt;failure message="why"&gt;because&lt;/failure&gt;&lt;/testcase&gt;&lt;/testsuite&gt;
X</command>
    </hudson.tasks.Shell>
  </builders>
  <publishers>
    <hudson.tasks.ArtifactArchiver>
      <artifacts>out/*</artifacts>
    </hudson.tasks.ArtifactArchiver>
    <hudson.tasks.junit.JUnitResultArchiver>
      <testResults>results.xml</testResults>
    </hudson.tasks.junit.JUnitResultArchiver>
  </publishers>
  <buildWrappers/>
</project>
"""

SLOW = """<?xml version='1.1' encoding='UTF-8'?>
<project>
  <builders>
    <hudson.tasks.Shell><command>echo begun; exec sleep 1000</command></hudson.tasks.Shell>
  </builders>
</project>
"""

assert server.get_version().startswith("2."), server.get_version()
same("whoami", server.get_whoami()["id"], "admin")
assert server.get_plugins()["git"]["version"]
assert server.wait_for_normal_op(10)

# Create, look, change.
server.create_job("first job", CONFIG)
assert server.job_exists("first job") and not server.job_exists("nobody")
try:
    server.create_job("first job", CONFIG)
    raise AssertionError("made twice")
except jenkins.JenkinsException:
    pass
info = server.get_job_info("first job")
same("description", info["description"], "made by a client")
same("color", info["color"], "notbuilt")
same("buildable", info["buildable"], True)
names = sorted(job["fullname"] for job in server.get_all_jobs())
same("all jobs", names, ["first job", "of-file"])
same("count", server.jobs_count(), 2)
same("round trip", server.get_job_config("first job"), CONFIG)
server.reconfig_job("first job", CONFIG.replace("made by", "changed by"))
same("changed", server.get_job_info("first job")["description"], "changed by a client")

# Build with parameters; the queue; the result.
item = server.build_job("first job", {"WHO": "you & \u00fc", "LOUD": "true"})
number = started(item)
same("first number", number, 1)
build = finished("first job", number)
same("result", build["result"], "UNSTABLE")
parameters = {
    parameter["name"]: parameter["value"]
    for action in build["actions"]
    for parameter in action.get("parameters", [])
}
same("parameters", parameters, {"WHO": "you & \u00fc", "LOUD": "true"})
causes = [cause for action in build["actions"] for cause in action.get("causes", [])]
same("cause", causes[0]["shortDescription"], "Started by user admin")
console = server.get_build_console_output("first job", number)
assert "Started by user admin" in console, console
assert "hello you & \u00fc (true)" in console, console
assert console.rstrip().endswith("Finished: UNSTABLE"), console
report = server.get_build_test_report("first job", number)
same("tests", (report["passCount"], report["failCount"]), (1, 1))
artifacts = build["artifacts"]
same("artifacts", [artifact["relativePath"] for artifact in artifacts], ["out/file.txt"])
same("artifact", server.get_build_artifact_as_bytes("first job", number, "out/file.txt"), b"kept")
same("no variables", server.get_build_env_vars("first job", number), None)
item = server.build_job("first job")
same("second", finished("first job", started(item))["number"], 2)
info = server.get_job_info("first job")
same("last", info["lastBuild"]["number"], 2)
same("color", info["color"], "yellow")
same("next", info["nextBuildNumber"], 3)
server.set_next_build_number("first job", 10)
same("next", server.get_job_info("first job")["nextBuildNumber"], 10)

# A job without parameters, as the configuration file has it.
item = server.build_job("of-file")
same("of the file", finished("of-file", started(item))["result"], "SUCCESS")

# Stop; a request that waits; cancel.
server.create_job("slow", SLOW)
number = started(server.build_job("slow"))


def begun():
    try:
        return "+ exec sleep" in server.get_build_console_output("slow", number)
    except jenkins.JenkinsException:
        # What this client makes of a log that is still empty.
        return False


until("it runs", begun)
running = server.get_running_builds()
same("running", [(one["name"], one["number"]) for one in running], [("slow", number)])
assert server.get_job_info("slow")["color"].endswith("_anime")
waiting = server.build_job("slow")
until("it waits", lambda: [one for one in server.get_queue_info() if one["id"] == waiting])
queued = [one for one in server.get_queue_info() if one["id"] == waiting][0]
same("queued", queued["task"]["name"], "slow")
assert queued["why"], queued
assert server.get_job_info("slow")["inQueue"]
server.cancel_queue(waiting)
until("it does not wait", lambda: not server.get_queue_info())
same("cancelled", server.get_queue_item(waiting)["cancelled"], True)
server.stop_build("slow", number)
same("stopped", finished("slow", number)["result"], "ABORTED")
assert "Finished: ABORTED" in server.get_build_console_output("slow", number)

# Disable, enable, copy, rename, delete.
server.disable_job("slow")
same("disabled", server.get_job_info("slow")["color"], "disabled")
try:
    server.build_job("slow")
    raise AssertionError("a disabled job was built")
except requests.exceptions.HTTPError as refused:
    same("refused", refused.response.status_code, 409)
server.enable_job("slow")
same("enabled", server.get_job_info("slow")["disabled"], False)
server.copy_job("first job", "copy")
assert "changed by a client" in server.get_job_config("copy")
server.rename_job("copy", "renamed")
assert server.job_exists("renamed") and not server.job_exists("copy")
server.delete_build("first job", 1)
try:
    server.get_build_info("first job", 1)
    raise AssertionError("a removed build is there")
except jenkins.JenkinsException:
    pass
server.delete_job("renamed")
assert not server.job_exists("renamed")

# Folders.
server.create_folder("team")
server.create_job("team/inner", SLOW)
assert server.job_exists("team/inner")
same("inner", server.get_job_info("team/inner")["fullName"], "team/inner")
names = sorted(job["fullname"] for job in server.get_all_jobs())
same("with folders", names, ["first job", "of-file", "slow", "team", "team/inner"])
item = server.build_job("of-file")
server.create_folder("team/none")
names = sorted(job["fullname"] for job in server.get_all_jobs())
same("an empty one, too", names, ["first job", "of-file", "slow", "team", "team/inner", "team/none"])
assert server.job_exists("team/none") and server.is_folder("team/none")
server.rename_job("team/none", "team/some")
server.set_next_build_number("team/inner", 7)
server.rename_job("team", "crew")
names = sorted(job["fullname"] for job in server.get_all_jobs())
same("renamed", names, ["crew", "crew/inner", "crew/some", "first job", "of-file", "slow"])
same("what was in it", server.get_job_info("crew/inner")["nextBuildNumber"], 7)
same("as it was", server.get_job_config("crew/inner"), SLOW)
assert not server.job_exists("team") and not server.job_exists("team/inner")
server.create_folder("team")
for taken in ["crew", "of-file"]:
    try:
        server.rename_job("team", taken)
        raise AssertionError("a name was taken twice")
    except (jenkins.JenkinsException, requests.exceptions.HTTPError):
        pass
number = started(server.build_job("crew/inner"))
try:
    server.rename_job("crew", "other")
    raise AssertionError("a folder whose job is building was renamed")
except (jenkins.JenkinsException, requests.exceptions.HTTPError):
    pass
server.stop_build("crew/inner", number)
same("stopped", finished("crew/inner", number)["result"], "ABORTED")
server.delete_job("crew/inner")
server.delete_job("crew")
server.delete_job("team")
names = sorted(job["fullname"] for job in server.get_all_jobs())
same("without folders", names, ["first job", "of-file", "slow"])

# Views.
server.create_view("mine", jenkins.EMPTY_VIEW_CONFIG_XML)
assert server.view_exists("mine")
config = server.get_view_config("mine")
assert "ListView" in config, config
same("nothing in it", server.get_jobs(view_name="mine"), [])
listed = config.replace("<jobNames", "<jobNames><string>slow</string><string>nobody</string></jobNames><ignored", 1) if "<jobNames/>" in config else config.replace("</jobNames>", "<string>slow</string><string>nobody</string></jobNames>")
server.reconfig_view("mine", listed)
same("in it", [job["name"] for job in server.get_jobs(view_name="mine")], ["slow"])
same("views", sorted(view["name"] for view in server.get_views()), ["all", "mine"])
for view in server.get_views():
    assert requests.get(view["url"], auth=(user, token), timeout=30).status_code == 200, view
assert len(server.get_jobs(view_name="all")) == 3
try:
    server.create_view("mine", jenkins.EMPTY_VIEW_CONFIG_XML)
    raise AssertionError("made twice")
except jenkins.JenkinsException:
    pass
for bad in ["a<b", "all"]:
    try:
        server.create_view(bad, jenkins.EMPTY_VIEW_CONFIG_XML)
        raise AssertionError(f"{bad} is a view")
    except (jenkins.JenkinsException, requests.exceptions.HTTPError):
        pass
server.delete_view("mine")
assert not server.view_exists("mine")
same("views", [view["name"] for view in server.get_views()], ["all"])

# Nodes; who is wrong.
same("nodes", [node["name"] for node in server.get_nodes()], ["Built-In Node"])
server.quiet_down()
assert server.get_info()["quietingDown"]
stranger = jenkins.Jenkins(url, username=user, password="wrong")
try:
    stranger.get_whoami()
    raise AssertionError("let in")
except jenkins.JenkinsException:
    pass
print("done")
