"""What moto lacks of change sets, by which `aws cloudformation deploy` makes and updates stacks. moto_aws.py imports it."""

from moto.cloudformation.models import CloudFormationBackend

execute = CloudFormationBackend.execute_change_set


def execute_change_set(self, change_set_name, stack_name=None):
    """The stack sees other stacks' exports, and has parameters, outputs and exports of its own: moto forgets them."""
    made = next(one for arn, one in self.change_sets.items() if change_set_name in (arn, one.change_set_name))
    stack = self.stacks[made.stack_id]
    stack.resource_map.cross_stack_resources = self.exports
    execute(self, change_set_name, stack_name)
    stack.parameters = made.parameters
    stack._parse_template()
    stack.output_map = stack._create_output_map()
    self.exports |= {export.name: export for export in stack.exports}


CloudFormationBackend.execute_change_set = execute_change_set
