"""What the page says, in English and in Chinese; the first words are the key.

>>> say("zh", "Alarms"), say("en", "Alarms")
('报警', 'Alarms')
"""

from __future__ import annotations

LANGUAGES = {"en": "English", "zh": "中文"}

_CHINESE = {
    "Gateway": "网关",
    "Status": "状态",
    "Health": "运行状况",
    "Alarms": "报警",
    "Devices": "设备",
    "Scan classes": "扫描类",
    "Backlog and ledger": "积压与台账",
    "Apps": "应用",
    "Commands": "命令",
    "Identity": "身份",
    "Slots": "固件槽",
    "Log": "日志",
    "Skip to the alarms": "跳到报警",
    "good": "正常",
    "attention": "注意",
    "fault": "故障",
    "Collecting": "采集",
    "Sending": "上传",
    "Storing": "存储",
    "Clock": "时钟",
    "Memory": "内存",
    "samples/s": "样本/秒",
    "connected to": "已连接到",
    "not connected": "未连接",
    "no upstream is configured": "未配置上级",
    "written as files for an isolator": "以文件方式经隔离装置传送",
    "room": "空间充足",
    "used": "已用",
    "starting": "正在启动",
    "running": "运行中",
    "stopping": "正在停止",
    "stopped": "已停止",
    "synchronised": "已同步",
    "holdover": "守时",
    "unsynchronised": "未同步",
    "announced": "条待处理",
    "none announced": "无待处理报警",
    "devices answer": "台设备应答",
    "Priority": "优先级",
    "State": "状态",
    "Since": "自",
    "Alarm": "报警",
    "Value": "数值",
    "Text": "说明",
    "Action": "操作",
    "Acknowledge": "确认",
    "Shelve": "搁置",
    "Your name": "您的姓名",
    "Comment (needed to shelve)": "备注（搁置时必填）",
    "Shelve for": "搁置时长",
    "30 minutes": "30 分钟",
    "1 hour": "1 小时",
    "8 hours": "8 小时",
    "1 day": "1 天",
    "No alarm is raised, silenced or waits for acknowledgement.": "没有触发、屏蔽或待确认的报警。",
    "more are not shown": "条未显示",
    "critical": "紧急",
    "high": "高",
    "medium": "中",
    "low": "低",
    "normal": "正常",
    "unacknowledged": "未确认",
    "acknowledged": "已确认",
    "returned-unacknowledged": "已恢复未确认",
    "latched-unacknowledged": "锁存未确认",
    "latched": "锁存",
    "shelved": "已搁置",
    "suppressed": "已抑制",
    "out-of-service": "停用",
    "until": "至",
    "active": "仍存在",
    "Device": "设备",
    "Connection": "连接",
    "Requests": "请求",
    "Time-outs": "超时",
    "Last trouble": "最近故障",
    "idle": "空闲",
    "connecting": "连接中",
    "connected": "已连接",
    "lost": "已断开",
    "closed": "已关闭",
    "Task": "任务",
    "Points": "测点",
    "Served": "已执行",
    "Missed": "错过",
    "Overruns": "超时周期",
    "Latest (ms)": "最大延迟 (ms)",
    "Busiest (ms)": "最长耗时 (ms)",
    "Batches waiting": "待收批次",
    "Not sent": "未发送",
    "Oldest (s)": "最旧 (秒)",
    "Bytes": "字节",
    "Collected": "已采集",
    "Thinned": "已稀疏",
    "Sealed": "已封装",
    "Journalled": "已记入日志",
    "Dropped": "已丢弃",
    "Unaccounted": "未入账",
    "App": "应用",
    "Version": "版本",
    "Instances": "实例",
    "Scans": "扫描数",
    "Why": "原因",
    "No app is installed.": "未安装应用。",
    "Number": "编号",
    "Command": "命令",
    "By": "操作人",
    "Outcome": "结果",
    "here": "本地",
    "No command has come.": "尚无命令。",
    "Name": "名称",
    "Site": "厂站",
    "Signing key": "签名密钥",
    "Link key": "链路密钥",
    "Headquarters": "总部",
    "Started": "启动时间",
    "This gateway does not run from slots.": "本网关未使用固件槽运行。",
    "Good slot": "正常固件槽",
    "Slot a": "固件槽 a",
    "Slot b": "固件槽 b",
    "On trial": "试运行",
    "Given up": "已放弃",
    "Password": "密码",
    "Sign in": "登录",
    "Sign out": "退出",
    "The password is wrong.": "密码错误。",
    "Too many tries; wait a minute.": "尝试过多，请稍候一分钟。",
    "Say who you are.": "请填写您的姓名。",
    "To shelve an alarm, say why.": "搁置报警时请说明原因。",
    "done": "已完成",
    "Updated": "更新于",
    "Language": "语言",
    "not updated any more: the gateway does not answer": "已停止更新：网关无应答",
}


def say(language: str, words: str) -> str:
    """Words in a language; those that have no translation stay as they are."""
    return _CHINESE.get(words, words) if language == "zh" else words


def chosen(wanted: str, accepted: str) -> str:
    """The language for a visitor.

    Args:
        wanted: What was chosen before, or empty.
        accepted: The browser's Accept-Language.

    >>> chosen("", "zh-CN,zh;q=0.9,en;q=0.8"), chosen("en", "zh-CN"), chosen("", "de")
    ('zh', 'en', 'en')
    """
    if wanted in LANGUAGES:
        return wanted
    for part in accepted.split(",")[:10]:
        primary = part.split(";")[0].strip().lower().split("-")[0]
        if primary in LANGUAGES:
            return primary
    return "en"
